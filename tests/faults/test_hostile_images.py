"""Images that cost most, eight at a time, beside sixteen clients with photos of usual sizes."""

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from typing import Self

import httpx
import numpy as np

from tests.faults.clients import Load, photos_with_answers
from tests.faults.counts import Tally, documented_code
from tests.faults.hostile_images import hostile_images
from tests.faults.scenario import StartHouse
from tests.fuzz.memory import growth_bytes, in_words, resident_bytes

SENDERS = 8
QUIET_ANSWERS, ANSWERS, STEPS = 600, 1600, 80
# of all processes: what the largest photos take has been seen by the end of the first quarter
MAX_GROWTH_BYTES = 500_000_000


class Attack:
    """Senders of hostile images, at work until the block ends."""

    def __init__(self, url: str) -> None:
        self.outcomes: Counter[str] = Counter()
        self._url = f"{url}/v1/segment"
        self._images = cycle(hostile_images())
        self._stopping = threading.Event()
        self._threads = ThreadPoolExecutor(SENDERS)

    def __enter__(self) -> Self:
        self._senders = [self._threads.submit(self._send) for _ in range(SENDERS)]
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for sender in self._senders:
            sender.result()
        self._threads.shutdown()

    def _send(self) -> None:
        with httpx.Client(timeout=120, trust_env=False) as client:
            while not self._stopping.is_set():
                body, query = next(self._images)
                answer = client.post(
                    self._url,
                    content=body,
                    params={"timeout_ms": "60000", **query},
                    headers={"Content-Type": "image/jpeg"},
                )
                self.outcomes[outcome(answer)] += 1


def outcome(answer: httpx.Response) -> str:
    if answer.status_code == httpx.codes.OK:
        return "answered"
    media_type = answer.headers["content-type"]
    return documented_code(answer.status_code, media_type, answer.content) or answer.text


def p99_s(tally: Tally) -> float:
    return float(np.percentile(tally.took_s, 99))


def test_images_that_cost_most_cost_nobody_else_anything(
    start: StartHouse, bodies: Sequence[bytes], figures: list[str]
) -> None:
    house = start(workers=2)
    photos = photos_with_answers(house, bodies)
    quiet, attacked = Tally("quiet"), Tally("beside hostile images")
    with Load(house.url, photos, quiet) as load:
        load.wait_for_right_answers(QUIET_ANSWERS)
    workers, readings = house.workers(), list[int]()
    with Load(house.url, photos, attacked) as load, Attack(house.url) as attack:
        for _ in range(STEPS):
            load.wait_for_right_answers(ANSWERS // STEPS)
            readings.append(sum(map(resident_bytes, house.pids())))
    figures.append(
        f"hostile images: p99 {p99_s(attacked):.2f} s, quiet {p99_s(quiet):.2f} s of "
        f"{len(attacked.took_s)} honest answers; {in_words(readings)}; {dict(attack.outcomes)}"
    )
    assert attacked.right == attacked.sent
    assert set(attack.outcomes) <= {"answered", "broken_image", "side_too_long", "too_costly"}
    assert {"answered", "too_costly"} <= set(attack.outcomes)
    assert house.workers() == workers
    assert all(half.starts == 1 for half in house.halves.values())
    assert growth_bytes(readings) < MAX_GROWTH_BYTES
