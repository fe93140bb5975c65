"""The address of TorchServe's inference API: its text in, its parts out.

`http://host:port` (or https), with a path where a proxy in front of TorchServe adds one, or
`unix:/path` for a socket on this machine; several are separated by commas. Called by
`service.settings`, which checks them, by `service.backend`, which connects to them, and by
`service.multiprocess.count`.
"""

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import PurePath
from typing import Self
from urllib.parse import urlsplit

UNIX = "unix:"
DEFAULT_PORTS = {"http": 80, "https": 443}
# Linux keeps 108 with the zero behind them
MAX_SOCKET_PATH_BYTES = 107
FORMS = "write http://host:port, or unix:/path for a socket"


@dataclass(frozen=True, slots=True)
class InferenceAddress:
    """Where TorchServe listens: a host and a port, or the path of a socket."""

    host: str
    port: int
    socket_path: str = ""
    prefix: str = ""  # of each request's target
    is_tls: bool = False
    server_name: str = ""  # the name that `host`, a numeric address, was resolved from

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address; raises ValueError."""
        if text.startswith(UNIX):
            return cls("localhost", 0, checked_socket_path(text.removeprefix(UNIX)))
        parts = urlsplit(text)
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
            raise ValueError(f"{text!a} is no address; {FORMS}")
        is_plain = re.fullmatch(r"[!-~]+", text) and parts.username is None
        if parts.query or parts.fragment or not is_plain:
            raise ValueError(f"{text!a} has more than a host, a port and a path; {FORMS}")
        parts.hostname.encode("idna")
        port = DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
        prefix = parts.path.rstrip("/")
        return cls(parts.hostname, port, "", prefix, parts.scheme == "https")

    @property
    def is_local(self) -> bool:
        """Return whether it names this machine: a socket, or a loopback address."""
        with suppress(ValueError):
            return ip_address(self.host).is_loopback
        return self.host == "localhost"

    @property
    def is_name(self) -> bool:
        """Return whether it names a host that the DNS may give several and other addresses for."""
        if self.socket_path or self.host == "localhost":
            return False
        with suppress(ValueError):
            ip_address(self.host)
            return False
        return True

    @property
    def authority(self) -> str:
        """Return the value of `Host`."""
        if self.socket_path:
            return self.host
        return f"{bracketed(self.server_name or self.host)}:{self.port}"

    @property
    def replica_name(self) -> str:
        """Return what distinguishes it from others, in metrics and logs."""
        if self.socket_path:
            return f"{UNIX}{self.socket_path}"
        return f"{bracketed(self.host)}:{self.port}{self.prefix}"

    def at(self, host: str) -> "InferenceAddress":
        """Return one of the addresses of a name."""
        return replace(self, host=host, server_name=self.host)


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def parse_addresses(text: str) -> tuple[InferenceAddress, ...]:
    """Read addresses that are separated by commas; raises ValueError."""
    parts = [part.strip().rstrip("/") for part in text.split(",")]
    found = tuple(InferenceAddress.parse(part) for part in parts)
    if twice := next((each for each in found if found.count(each) > 1), None):
        raise ValueError(f"{twice.replica_name} is there twice; name each address once")
    return found


def checked_socket_path(path: str) -> str:
    """Return the path; raises ValueError for one that no socket can have."""
    if not PurePath(path).is_absolute():
        raise ValueError(f"{path!a} is no absolute path; {FORMS}")
    if (path_bytes := len(path.encode())) > MAX_SOCKET_PATH_BYTES:
        raise ValueError(
            f"the path of a socket has {MAX_SOCKET_PATH_BYTES} bytes at most, and {path!a} "
            f"{path_bytes}; choose a shorter one"
        )
    return path
