"""The gateway's URL in, its answer to `GET /readyz` out.

Called by `service.all_in_one.run`, and by the load tests.
"""

import json
import urllib.request
from http import HTTPStatus
from http.client import HTTPException

# without a proxy, which might answer in the gateway's place
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def is_ready(url: str) -> bool:
    try:
        with opener.open(f"{url}/readyz", timeout=1) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except (OSError, HTTPException):
        return False


def silent_models(url: str) -> list[str]:
    """List the models that do not answer; empty where the gateway does not answer either."""
    try:
        with opener.open(f"{url}/readyz", timeout=1) as answer:
            silent: list[str] = json.load(answer)["silent"]
            return silent
    except (OSError, HTTPException, ValueError):
        return []
