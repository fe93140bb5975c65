"""Addresses on this machine: free ports, and the name under which a listener is reached.

Called by `service.all_in_one`, `service.worker` and the load tests.
"""

import socket
from contextlib import ExitStack

# listening on any address: the one of this machine
LOCAL_NAMES = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not listened on


def free_ports(count: int) -> list[int]:
    """Find ports without a listener, no two of them the same."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def local_name(host: str) -> str:
    """Return the address at which a listener on `host` is reached from this machine."""
    return LOCAL_NAMES.get(host, host)
