"""Images that crash their worker, eight at a time, through three gateway processes."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.faults.scenario import Scenario, StartService
from tests.faults.service import Service
from tests.support.crashing_images import crashing_image, put_obeying_archive
from tests.support.server import CAT, MODEL, ROOT

CRASHING = 8
ORDERS = ("SEGFAULT", "ABORT")


def test_eight_crashing_images_at_a_time_do_not_harm_other_clients(
    start: StartService, scenario: Scenario, tmp_path: Path
) -> None:
    """The images are distinct, and each is refused; afterwards none of them crashes a worker."""
    cat = CAT.read_bytes()
    images = [crashing_image(cat, ORDERS[number % 2], number) for number in range(CRASHING)]

    def fault() -> None:
        assert codes(send_at_once(service, images)) == ["image_crashes_worker"] * CRASHING
        service.wait_until_complete()
        workers = service.workers()
        for _ in range(3):
            assert codes(send_at_once(service, images)) == ["image_crashes_worker"] * CRASHING
        assert service.workers() == workers

    store = tmp_path / "store"
    store.mkdir()
    put_obeying_archive(ROOT / "model_store" / MODEL, store)
    service = start(workers=2, FCNSERVE_MODEL_STORE=str(store), FCNSERVE_GATEWAY_PROCESSES="3")
    counts = scenario(service, "8 images at a time that crash the worker: other clients", fault)
    assert counts.correct == counts.sent
    assert service.subservices["worker"].starts == 1


def send_at_once(service: Service, bodies: Sequence[bytes]) -> list[httpx.Response]:
    with ThreadPoolExecutor(len(bodies)) as clients:
        return list(clients.map(lambda body: service.segment(body, timeout_ms=60_000), bodies))


def codes(answers: Sequence[httpx.Response]) -> list[str]:
    return [answer.json()["code"] for answer in answers]
