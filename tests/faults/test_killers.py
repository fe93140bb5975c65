"""Images that end their worker, eight at a time, through three gateway processes."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.faults.scenario import StartHouse, Strike
from tests.faults.service import House
from tests.integration.server import CAT, MODEL, ROOT
from tests.support.crashing_images import killer, put_obeying_archive

KILLERS = 8
ORDERS = ("SEGFAULT", "ABORT")


def test_eight_killers_at_a_time_harm_nobody_else(
    start: StartHouse, strike: Strike, tmp_path: Path
) -> None:
    """Each is another image, and each is refused; from then on none ends a worker any more."""
    cat = CAT.read_bytes()
    killers = [killer(cat, ORDERS[number % 2], number) for number in range(KILLERS)]

    def fault() -> None:
        assert codes(ask_at_once(house, killers)) == ["image_crashes_worker"] * KILLERS
        house.wait_until_whole()
        workers = house.workers()
        for _ in range(3):
            assert codes(ask_at_once(house, killers)) == ["image_crashes_worker"] * KILLERS
        assert house.workers() == workers

    store = tmp_path / "store"
    store.mkdir()
    put_obeying_archive(ROOT / "model_store" / MODEL, store)
    house = start(workers=2, FCNSERVE_MODEL_STORE=str(store), FCNSERVE_GATEWAY_PROCESSES="3")
    tally = strike(house, "8 images at a time that crash the worker: their neighbours", fault)
    assert tally.right == tally.sent
    assert house.halves["worker"].starts == 1


def ask_at_once(house: House, bodies: Sequence[bytes]) -> list[httpx.Response]:
    with ThreadPoolExecutor(len(bodies)) as clients:
        return list(clients.map(lambda body: house.segment(body, timeout_ms=60_000), bodies))


def codes(answers: Sequence[httpx.Response]) -> list[str]:
    return [answer.json()["code"] for answer in answers]
