"""Addresses on this machine: free ports, and the name under which a listener is reached.

Called by `service.all_in_one`, `service.worker` and the load tests.
"""

import random
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

# from which the kernel takes the local ports of connections, and those of listeners on port 0
EPHEMERAL_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
FIRST_PORT, FIRST_EPHEMERAL_PORT = 10_000, 32_768
MAX_TRIES = 10_000
# listening on any address: the one of this machine
LOCAL_NAMES = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not listened on


def free_ports(count: int) -> list[int]:
    """Find ports without a listener, no two of them the same.

    Below the kernel's ephemeral ports: one of those may be some connection's local port by the time
    that a server listens on it, which takes Java seconds. Raises OSError where there are not
    enough.
    """
    ports: list[int] = []
    with ExitStack() as stack:
        for _ in range(MAX_TRIES):
            if len(ports) == count:
                return ports
            port = random.randrange(FIRST_PORT, first_ephemeral_port())  # noqa: S311 - no secret
            with suppress(OSError):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
                ports.append(port)
    raise OSError(f"fewer than {count} free ports from {FIRST_PORT} on")


def first_ephemeral_port() -> int:
    """Return the kernel's setting; its default where that leaves too few others."""
    with suppress(OSError, ValueError, IndexError):
        first = int(EPHEMERAL_PORTS.read_text().split()[0])
        return first if first > 2 * FIRST_PORT else FIRST_EPHEMERAL_PORT
    return FIRST_EPHEMERAL_PORT


def local_name(host: str) -> str:
    """Return the address at which a listener on `host` is reached from this machine."""
    return LOCAL_NAMES.get(host, host)
