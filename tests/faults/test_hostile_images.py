"""The costliest images, eight at a time, beside sixteen clients with photos of usual sizes."""

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from typing import Self

import httpx
import numpy as np

from loadtest.measure.usage import resident_bytes
from tests.faults.clients import ConcurrentClients, photos_with_answers
from tests.faults.counts import Counts, documented_code
from tests.faults.hostile_images import hostile_images
from tests.faults.scenario import StartService
from tests.fuzz.memory import growth_bytes, quarters_text

SENDERS = 8
QUIET_ANSWERS, ANSWERS, STEPS = 600, 1600, 80
# of all processes, in the second half of the run: by then the largest photos have met
MAX_GROWTH_BYTES = 500_000_000


class Attack:
    """Clients that send hostile images until the block is left."""

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


def p99_s(counts: Counts) -> float:
    return float(np.percentile(counts.took_s, 99))


def test_costly_images_do_not_harm_other_clients(
    start: StartService, bodies: Sequence[bytes], figures: list[str]
) -> None:
    service = start(workers=2)
    photos = photos_with_answers(service, bodies)
    quiet, attacked = Counts("quiet"), Counts("beside hostile images")
    with ConcurrentClients(service.url, photos, quiet) as clients:
        clients.wait_for_correct_answers(QUIET_ANSWERS)
    workers, readings = service.workers(), list[int]()
    with (
        ConcurrentClients(service.url, photos, attacked) as clients,
        Attack(service.url) as attack,
    ):
        for _ in range(STEPS):
            clients.wait_for_correct_answers(ANSWERS // STEPS)
            readings.append(sum(map(resident_bytes, service.pids())))
    figures.append(
        f"hostile images: p99 {p99_s(attacked):.2f} s, quiet {p99_s(quiet):.2f} s of "
        f"{len(attacked.took_s)} answers to other clients; {quarters_text(readings)}; "
        f"{dict(attack.outcomes)}"
    )
    assert attacked.correct == attacked.sent
    assert set(attack.outcomes) <= {"answered", "broken_image", "side_too_long", "too_costly"}
    assert {"answered", "too_costly"} <= set(attack.outcomes)
    assert service.workers() == workers
    assert all(each.starts == 1 for each in service.subservices.values())
    assert growth_bytes(readings[STEPS // 2 :]) < MAX_GROWTH_BYTES
