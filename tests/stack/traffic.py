"""Mixed traffic for a running service: photos of many sizes, every output, batches, errors.

Used by `tests.stack.test_dashboards`.
"""

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

from tests.support.server import ASTRONAUT, CAT

LONG_SIDES = (96, 160, 240, 320, 400, 512, 640)
OUTPUTS = ("mask", "labels", "overlay", "rle", "polygons", "summary", "confidence")


@dataclass(frozen=True, slots=True)
class TrafficRequest:
    """One request, and the statuses of which its answer has to have one."""

    statuses: tuple[int, ...]
    body: bytes
    query: dict[str, str] = field(default_factory=dict)
    further_photos: tuple[bytes, ...] = ()  # of a batch

    def send(self, client: httpx.Client) -> tuple[bool, int]:
        """Send it; returns whether the answer has an expected status, and the status."""
        if not self.further_photos:
            answer = client.post("/v1/segment", content=self.body, params=self.query)
        else:
            files = [
                ("images", (f"{n}.jpg", p)) for n, p in enumerate((self.body, *self.further_photos))
            ]
            answer = client.post("/v1/segment/batch", files=files, params=self.query)
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            time.sleep(float(answer.headers["Retry-After"]))
        return answer.status_code in self.statuses, answer.status_code


def photos() -> list[bytes]:
    """Return the samples in several sizes, as JPEG."""
    return [resized(path.read_bytes(), side) for side in LONG_SIDES for path in (CAT, ASTRONAUT)]


def resized(photo: bytes, long_side: int) -> bytes:
    with Image.open(io.BytesIO(photo)) as image:
        image.thumbnail((long_side, long_side))
        out = io.BytesIO()
        image.save(out, "JPEG", quality=90)
    return out.getvalue()


def one_round() -> list[TrafficRequest]:
    """Return each photo with some output, then a batch and one invalid request of each kind."""
    sizes = photos()
    outputs = itertools.cycle(OUTPUTS)
    good = [TrafficRequest((200,), photo, {"output": next(outputs)}) for photo in sizes]
    batch = TrafficRequest((200,), sizes[0], {"output": "summary"}, (sizes[3], b"no photo"))
    bad = [
        TrafficRequest((400,), sizes[-1][:200]),
        TrafficRequest((422,), sizes[0], {"colour": "red"}),
        TrafficRequest((504, 408), sizes[-1], {"timeout_ms": "10"}),
    ]
    return [*good, batch, *bad]


def send(gateway: str, seconds: float, clients: int) -> Counter[tuple[bool, int]]:
    """Send rounds with concurrent clients; counts answers by whether they are expected, and status.

    A client that gets a 429 waits for `Retry-After` before its next request.
    """
    requests = one_round()
    turns = itertools.count()
    ends = time.monotonic() + seconds
    lock = threading.Lock()

    def next_requests() -> Iterator[TrafficRequest]:
        while time.monotonic() < ends:
            with lock:
                turn = next(turns)
            yield requests[turn % len(requests)]

    def run(_client: int) -> Counter[tuple[bool, int]]:
        with httpx.Client(base_url=gateway, timeout=120, trust_env=False) as client:
            return Counter(request.send(client) for request in next_requests())

    with ThreadPoolExecutor(clients) as pool:
        return sum(pool.map(run, range(clients)), Counter())
