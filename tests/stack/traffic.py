"""Mixed traffic for a running service: photos of many sizes, every output, batches, mistakes."""

import io
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
from PIL import Image

from tests.integration.server import ASTRONAUT, CAT

LONG_SIDES = (96, 160, 240, 320, 400, 512, 640)
OUTPUTS = ("mask", "labels", "overlay", "rle", "polygons", "summary", "confidence")


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: what a client sends, and the status that it has to get, one of these."""

    statuses: tuple[int, ...]
    body: bytes
    query: dict[str, str] = field(default_factory=dict)
    others: tuple[bytes, ...] = ()  # of a batch

    def send(self, client: httpx.Client) -> tuple[bool, int]:
        """Tell whether the answer's status is one that it had to be, and which it is."""
        if not self.others:
            answer = client.post("/v1/segment", content=self.body, params=self.query)
        else:
            files = [("images", (f"{n}.jpg", p)) for n, p in enumerate((self.body, *self.others))]
            answer = client.post("/v1/segment/batch", files=files, params=self.query)
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            time.sleep(float(answer.headers["Retry-After"]))
        return answer.status_code in self.statuses, answer.status_code


def photos() -> list[bytes]:
    """The samples in several sizes, as JPEG."""
    return [resized(path.read_bytes(), side) for side in LONG_SIDES for path in (CAT, ASTRONAUT)]


def resized(photo: bytes, long_side: int) -> bytes:
    with Image.open(io.BytesIO(photo)) as image:
        image.thumbnail((long_side, long_side))
        out = io.BytesIO()
        image.save(out, "JPEG", quality=90)
    return out.getvalue()


def course() -> list[Ask]:
    """One round: each photo with some output, then a batch and one mistake of each kind."""
    sizes = photos()
    outputs = itertools.cycle(OUTPUTS)
    good = [Ask((200,), photo, {"output": next(outputs)}) for photo in sizes]
    batch = Ask((200,), sizes[0], {"output": "summary"}, (sizes[3], b"no photo"))
    bad = [
        Ask((400,), sizes[-1][:200]),
        Ask((422,), sizes[0], {"colour": "red"}),
        Ask((504, 408), sizes[-1], {"timeout_ms": "10"}),
    ]
    return [*good, batch, *bad]


def send(gateway: str, seconds: float, clients: int) -> Counter[tuple[bool, int]]:
    """Have clients send rounds for that long; count answers by whether they had to be, and status.

    A client that is turned away (429) waits as it is told to before its next request.
    """
    asks = course()
    turns = itertools.count()
    ends = time.monotonic() + seconds
    lock = threading.Lock()

    def next_asks() -> Iterator[Ask]:
        while time.monotonic() < ends:
            with lock:
                turn = next(turns)
            yield asks[turn % len(asks)]

    def run(_client: int) -> Counter[tuple[bool, int]]:
        with httpx.Client(base_url=gateway, timeout=120, trust_env=False) as client:
            return Counter(ask.send(client) for ask in next_asks())

    with ThreadPoolExecutor(clients) as pool:
        return sum(pool.map(run, range(clients)), Counter())
