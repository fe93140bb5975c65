"""Reference answers: the answer to each request while the service is idle, and the palette.

A host and the requests in, their answers out, fetched one after the other before the load begins.
Runs in Locust's container too, so it imports the standard library alone. Called by
`loadtest.locustfile`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.request import ProxyHandler, Request, build_opener

from loadtest.traffic.checks import check_answer, read_palette
from loadtest.traffic.requests import LoadRequest

TIMEOUT_S = 60.0
opener = build_opener(ProxyHandler({}))  # a direct connection, whatever proxies are configured


@dataclass(frozen=True, slots=True)
class ReferenceAnswers:
    """`answers` has the order of the requests; each answer is one piece per image."""

    palette: bytes
    answers: Sequence[Sequence[bytes]]


def fetch_reference_answers(
    host: str, requests: Sequence[LoadRequest], headers: Mapping[str, str]
) -> ReferenceAnswers:
    """Fetch the answers; raises WrongAnswerError when one fails its check."""
    _, cards = fetch(Request(f"{host}/v1/models", headers=dict(headers)))  # noqa: S310 - as below
    palette = read_palette(json.loads(cards)[0])
    answers = [fetch_answer(host, request, headers, palette) for request in requests]
    return ReferenceAnswers(palette, answers)


def fetch_answer(
    host: str, request: LoadRequest, headers: Mapping[str, str], palette: bytes
) -> list[bytes]:
    own = {"Content-Type": request.content_type} if request.content_type else {}
    sent = Request(  # noqa: S310 - the host that the command line names
        host + request.path, request.body or None, {**headers, **own}, method=request.method
    )
    return check_answer(request, *fetch(sent), palette)


def fetch(request: Request) -> tuple[str, bytes]:
    """Return content type and body."""
    with opener.open(request, timeout=TIMEOUT_S) as response:
        return response.headers["Content-Type"], response.read()
