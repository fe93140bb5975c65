"""Web origins, as an operator writes them, in the one form in which browsers send them (RFC 6454).

Called by `service.settings`: an origin in another form would be accepted and never match.
"""

import re
from urllib.parse import SplitResult, urlsplit

ANY = "*"
DEFAULT_PORTS = {"http": 80, "https": 443}
HOST = re.compile(r"[a-z0-9_.-]+|[0-9a-f:.]*:[0-9a-f:.]*")


def as_browsers_write(text: str) -> str:
    """Write scheme and host in small letters, no slash at the end, no port that is the scheme's
    own; `*` stays. Raises ValueError for what is no origin.
    """
    if text == ANY:
        return text
    try:
        url = urlsplit(text.rstrip("/"))
        port = url.port
    except ValueError:  # brackets that do not close, a port that is no number
        url, port = SplitResult("", "", "", "", ""), None
    host = url.hostname or ""
    if not url.scheme or not HOST.fullmatch(host) or has_more(url):
        raise ValueError(
            f"{text!r} is no web origin; write scheme, host (not in Unicode: xn--...) and, unless "
            "it is the scheme's own, port, such as https://app.example.com or "
            "http://localhost:3000; or * for all origins"
        )
    shown = f"[{host}]" if ":" in host else host
    own = port is None or port == DEFAULT_PORTS.get(url.scheme)
    return f"{url.scheme}://{shown}" + ("" if own else f":{port}")


def has_more(url: SplitResult) -> bool:
    """Whether a URL says more than an origin does."""
    return bool(url.path or url.query or url.fragment or "@" in url.netloc)
