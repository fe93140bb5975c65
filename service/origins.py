"""Web origins of the settings, normalised to the form in which browsers send them (RFC 6454).
Called by `service.settings`.

Our own, because Starlette's CORSMiddleware compares text: an origin in another form would be
accepted and never match.
"""

import re
from urllib.parse import SplitResult, urlsplit

ANY = "*"
DEFAULT_PORTS = {"http": 80, "https": 443}
HOST = re.compile(r"[a-z0-9_.-]+|[0-9a-f:.]*:[0-9a-f:.]*")


def as_browsers_write(text: str) -> str:
    """Return scheme and host in lower case, without a final slash or the scheme's default port.

    `*` stays. Raises ValueError for what is not an origin.
    """
    if text == ANY:
        return text
    try:
        url = urlsplit(text.rstrip("/"))
        port = url.port
    except ValueError:  # brackets that do not close, a port that is not a number
        url, port = SplitResult("", "", "", "", ""), None
    host = url.hostname or ""
    if not url.scheme or not HOST.fullmatch(host) or has_more_than_an_origin(url):
        raise ValueError(
            f"{text!r} is no web origin; write scheme, host (not in Unicode: xn--...) and, unless "
            "it is the scheme's own, port, such as https://app.example.com or "
            "http://localhost:3000; or * for all origins"
        )
    bracketed = f"[{host}]" if ":" in host else host
    is_default = port is None or port == DEFAULT_PORTS.get(url.scheme)
    return f"{url.scheme}://{bracketed}" + ("" if is_default else f":{port}")


def has_more_than_an_origin(url: SplitResult) -> bool:
    """Return whether a URL has a part that an origin has not."""
    return bool(url.path or url.query or url.fragment or "@" in url.netloc)
