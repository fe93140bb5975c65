"""What every answer is compared with: the model's palette, and each request's answer alone.

Asked for one after the other before the load begins. Python alone; called by
`loadtest.locustfile`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.request import ProxyHandler, Request, build_opener

from loadtest.traffic.checks import check, read_palette
from loadtest.traffic.requests import Errand

TIMEOUT_S = 60.0
opener = build_opener(ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Lone:
    """Answers by the place of their errand; each is one piece an image."""

    palette: bytes
    answers: Sequence[Sequence[bytes]]


def ask_alone(host: str, errands: Sequence[Errand], headers: Mapping[str, str]) -> Lone:
    """Fetch them; an answer that is wrong already raises WrongAnswerError."""
    _, cards = ask(Request(f"{host}/v1/models", headers=dict(headers)))  # noqa: S310 - as below
    palette = read_palette(json.loads(cards)[0])
    return Lone(palette, [answer(host, errand, headers, palette) for errand in errands])


def answer(host: str, errand: Errand, headers: Mapping[str, str], palette: bytes) -> list[bytes]:
    own = {"Content-Type": errand.content_type} if errand.content_type else {}
    request = Request(  # noqa: S310 - the host that was asked for
        host + errand.path, errand.body or None, {**headers, **own}, method=errand.method
    )
    return check(errand, *ask(request), palette)


def ask(request: Request) -> tuple[str, bytes]:
    """Return content type and body."""
    with opener.open(request, timeout=TIMEOUT_S) as found:
        return found.headers["Content-Type"], found.read()
