"""`python -m service.healthcheck gateway|worker`: the health check of a container.

In: the name of the service, and its port in the environment. Out: exit status 0 for an answer of
200, else 1 and the reason. Called by the images' HEALTHCHECK every few seconds: it needs the
standard library alone and starts in tens of milliseconds, which `fcnserve` does not. The slim base
image has no curl.
"""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus

# the setting with the port, its default, and the path. The gateway is healthy while it answers: a
# worker that is not ready is no reason to restart it.
PROBES = {
    "gateway": ("FCNSERVE_PORT", "8000", "/livez"),
    "worker": ("FCNSERVE_WORKER_STATUS_PORT", "8083", "/healthz"),
}
TIMEOUT_S = 3.0


def main() -> int:
    """Send one request; returns the exit status."""
    url = probe_url(sys.argv[1], os.environ)
    try:
        status = get(url)
    except OSError as error:
        print(f"{url}: {error}")  # noqa: T201 - Docker keeps it with the container's health
        return 1
    return 0 if status == HTTPStatus.OK else 1


def probe_url(service: str, environ: Mapping[str, str]) -> str:
    variable, port, path = PROBES[service]
    return f"http://127.0.0.1:{environ.get(variable, port)}{path}"


def get(url: str) -> int:
    """Return the status of the answer. Raises OSError, also for a status of 400 and above."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(url, timeout=TIMEOUT_S) as answer:
        status: int = answer.status
        return status


if __name__ == "__main__":
    sys.exit(main())
