"""Memory runs out: for one image, or for the worker."""

import time
from io import BytesIO

from PIL import Image

from tests.faults.clients import ConcurrentClients, photos_with_answers
from tests.faults.counts import Counts
from tests.faults.memory import limited_memory, memory_killer, resident_bytes
from tests.faults.scenario import Scenario, StartService
from tests.faults.service import Service
from tests.support.server import ASTRONAUT, CAT

BOMB_SIDE = 8_000  # pixels: 192 MB once decoded, but of usual size for the network
MARGIN_BYTES = 150_000_000
SPARE_BYTES = 64_000_000
LARGE, MAX_SIDE = (1536, 2048), "2048"  # about 0.6 GB of activations
LARGE_CLIENTS, LARGE_ANSWERS = 2, 4
MEMORY_CODES = {"out_of_memory", "worker_failed", "image_crashes_worker"}


def test_an_image_that_always_kills_the_worker_is_refused_and_its_batch_mates_are_not(
    start: StartService, scenario: Scenario
) -> None:
    """It is small for the network, so it shares batches; decoding it takes the most memory.

    The memory killer does what the kernel does to a container at its memory limit. The reason of a
    death is unknown, so each image is refused after the third, of which the last two are alone.
    """
    sides = (BOMB_SIDE, BOMB_SIDE)
    bombs = [encoded(Image.new("RGB", sides, colour), "JPEG") for colour in ("navy", "teal")]
    deaths: list[int] = []

    def fault() -> None:
        usual_bytes = max(map(resident_bytes, service.workers()))
        with memory_killer(service, usual_bytes + MARGIN_BYTES) as killed:
            for bomb in (*bombs, *bombs):
                answer = service.segment(bomb, timeout_ms=120_000)
                assert (answer.status_code, answer.json()["code"]) == (422, "image_crashes_worker")
        deaths.extend(killed)

    service = start(workers=2, FCNSERVE_MAX_PIXELS=str(BOMB_SIDE**2))
    counts = scenario(
        service, f"{len(bombs)} images that always kill the worker: other clients", fault
    )
    assert counts.correct == counts.sent
    assert len(deaths) == 3 * len(bombs)


def test_large_passes_lack_memory_and_small_ones_are_answered(
    start: StartService, scenario: Scenario
) -> None:
    """oneDNN never retries kernels that it had no memory to prepare, so workers are restarted."""
    large = Counts("no memory for large passes: photos of 2048 pixels")

    def fault() -> None:
        large.fault_at = time.monotonic()
        with (
            ConcurrentClients(service.url, photos, large, LARGE_CLIENTS),
            limited_memory(service, SPARE_BYTES),
        ):
            service.wait_until(lambda: large.problems.total() >= LARGE_ANSWERS)
        restart_workers(service)
        with ConcurrentClients(service.url, photos, large, LARGE_CLIENTS) as clients:
            clients.wait_for_correct_answers(LARGE_ANSWERS)

    service = start(workers=2)
    photos = photos_with_answers(service, large_photos(), max_side=MAX_SIDE)
    restart_workers(service)
    counts = scenario(service, "no memory for large passes: small photos", fault)
    scenario.results.append(large)
    assert counts.correct_percent >= 90  # a small pass may lack the memory of a large one
    assert not large.losses
    assert large.wrong == 0
    assert (counts.problems | large.problems).keys() <= MEMORY_CODES


def restart_workers(service: Service) -> None:
    """Restart the workers, as an operator does: a worker keeps the memory it has allocated."""
    for pid in (used := service.workers()):
        service.kill(pid)
    service.wait_until(lambda: not set(used) & set(service.workers()))
    service.wait_until_complete()


def large_photos() -> list[bytes]:
    return [encoded(Image.open(path).resize(LARGE[::-1]), "JPEG") for path in (ASTRONAUT, CAT)]


def encoded(image: Image.Image, kind: str) -> bytes:
    body = BytesIO()
    image.save(body, kind)
    return body.getvalue()
