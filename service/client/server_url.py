"""The server's URL for the commands that send requests: `--url`, else FCNSERVE_URL, else localhost.

In: the option, and the environment. Out: a URL without a route. Called by
`service/cli/segment.py` and `service/cli/evaluate.py`.
"""

import os
from collections.abc import Mapping

URL_VARIABLE, PORT_VARIABLE, KEY_VARIABLE = "FCNSERVE_URL", "FCNSERVE_PORT", "FCNSERVE_KEY"
URL_HELP = f"The running server; {URL_VARIABLE}, or http://127.0.0.1:{PORT_VARIABLE} unless given."
DEFAULT_PORT = "8000"
LAST_PORT = 65535


class BadUrlError(ValueError):
    """The given URL or port names no server."""


def server_url(given: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """Choose and check the URL; raises BadUrlError. `given` may come from FCNSERVE_URL already."""
    return base_url(given or environment.get(URL_VARIABLE) or _local_url(environment))


def base_url(url: str) -> str:
    """Give the URL a scheme, and remove a slash at its end; raises BadUrlError."""
    from fcnserve_client.http.server_url import checked_url

    try:
        return checked_url(url)
    except ValueError as error:
        raise BadUrlError(str(error)) from error


def _local_url(environment: Mapping[str, str]) -> str:
    port = environment.get(PORT_VARIABLE) or DEFAULT_PORT
    if not (port.isascii() and port.isdecimal() and 0 < int(port) <= LAST_PORT):
        raise BadUrlError(
            f"{PORT_VARIABLE}={port} is no port of a server: set it to 1 to "
            f"{LAST_PORT}, or give --url or {URL_VARIABLE}"
        )
    return f"http://127.0.0.1:{port}"
