"""The gateway's address: checks that its port is free, and writes its URL.

Called by `service.all_in_one.run`, before anything is started.
"""

import socket

from service.ports import local_name


class CannotListenError(RuntimeError):
    """The gateway's address is in use, or not this machine's."""


def available_port(host: str, port: int) -> int:
    """Return the port, or a free one for 0; raises CannotListenError.

    It is checked before anything is started: another copy of the service may have the port, and its
    /readyz would be taken for this one's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            bound_port: int = listener.getsockname()[1]
            return bound_port
    except OSError as error:
        raise CannotListenError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; stop what uses it, "
            "or choose another (--port, or make serve PORT=8001; FCNSERVE_HOST for the address)"
        ) from error


def url_of(host: str, port: int) -> str:
    """Write the URL of the gateway for clients on this machine."""
    name = local_name(host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
