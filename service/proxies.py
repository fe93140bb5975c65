"""Proxies in front of the gateway: the prefix below which they publish it, and which of them are
believed when they name a client. Settings in, checked ones out. Called by `service.settings`.
"""

import re
from ipaddress import ip_network

ANY = "*"
OWN = "/v1/"
PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")


def checked_prefix(path: str) -> str:
    """Return a path prefix without a final slash; raises ValueError for what is not one."""
    prefix = path.rstrip("/")
    if not PREFIX.fullmatch(prefix):
        raise ValueError(f"{path!a} is no path prefix; write it such as /segmentation")
    if f"{prefix}/".startswith(OWN):
        raise ValueError(f"{path!a} is how the gateway's own paths begin; choose another prefix")
    return prefix


def checked_proxy(text: str) -> str:
    """Return the address or network of a proxy; raises ValueError for what is neither."""
    if text != ANY:
        try:
            ip_network(text)
        except ValueError as error:
            raise ValueError(f"{text!a}: {error}; write an address, a network or *") from error
    return text
