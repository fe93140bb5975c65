"""The URL of a server: what a program or a person gave in, the URL that routes are added to out.

Called by `fcnserve_client.http.wire`, and by the commands of fcnserve that send requests.
"""

from urllib.parse import urlsplit

DEFAULT_URL = "http://127.0.0.1:8000"


def checked_url(url: str) -> str:
    """Give a URL a scheme, and remove a slash at its end. Raises ValueError for no server's URL."""
    full = (url if "://" in url else f"http://{url}").rstrip("/")
    try:
        parts = urlsplit(full)
        is_server = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # unmatched brackets, or a port that is no number
        is_server = False
    if not is_server or parts.query or parts.fragment or any(each.isspace() for each in full):
        raise ValueError(f"{url!r} is no server's URL; one is {DEFAULT_URL} or https://example.org")
    return full
