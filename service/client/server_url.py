"""Where the commands that ask a server find it: `--url`, else FCNSERVE_URL, else this machine.

In: what was typed, and the environment. Out: a URL that a route can be put behind. Called by
`service/cli/segment.py` and `service/cli/evaluate.py`.
"""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

URL_VARIABLE, PORT_VARIABLE, KEY_VARIABLE = "FCNSERVE_URL", "FCNSERVE_PORT", "FCNSERVE_KEY"
URL_HELP = f"The running server; {URL_VARIABLE}, or http://127.0.0.1:{PORT_VARIABLE} unless given."
USUAL_PORT = "8000"
LAST_PORT = 65535


class BadUrlError(ValueError):
    """What was given names no server."""


def server_url(given: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """Choose and check; raises BadUrlError. FCNSERVE_URL may be read before, as `given`."""
    return base_url(given or environment.get(URL_VARIABLE) or _on_this_machine(environment))


def base_url(url: str) -> str:
    """The URL with a scheme and without a slash at its end; raises BadUrlError."""
    whole = (url if "://" in url else f"http://{url}").rstrip("/")
    try:
        parts = urlsplit(whole)
        named = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # brackets that do not match, or a port that is no number
        named = False
    if not named or parts.query or parts.fragment or any(each.isspace() for each in whole):
        raise BadUrlError(f"{url!r} is no server's URL; one is {_EXAMPLE} or https://example.org")
    return whole


_EXAMPLE = f"http://127.0.0.1:{USUAL_PORT}"


def _on_this_machine(environment: Mapping[str, str]) -> str:
    port = environment.get(PORT_VARIABLE) or USUAL_PORT
    if not (port.isascii() and port.isdecimal() and 0 < int(port) <= LAST_PORT):
        raise BadUrlError(
            f"{PORT_VARIABLE}={port} is no port that a server can be asked at: set it to 1 to "
            f"{LAST_PORT}, or give --url or {URL_VARIABLE}"
        )
    return f"http://127.0.0.1:{port}"
