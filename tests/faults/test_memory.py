"""Memory runs out: on one image, or for the worker as a whole."""

import time
from io import BytesIO

from PIL import Image

from tests.faults.clients import Load, photos_with_answers
from tests.faults.counts import Tally
from tests.faults.memory import killer, resident_bytes, scarce
from tests.faults.scenario import StartHouse, Strike
from tests.faults.service import House
from tests.integration.server import ASTRONAUT, CAT

BOMB_SIDE = 8_000  # pixels: 192 MB once decoded, and no more than its neighbours as the net sees it
MARGIN_BYTES = 150_000_000
SPARE_BYTES = 64_000_000
LARGE, MAX_SIDE = (1536, 2048), "2048"  # about 0.6 GB of activations
LARGE_CLIENTS, LARGE_ANSWERS = 2, 4
MEMORY_CODES = {"out_of_memory", "worker_failed", "image_crashes_worker"}


def test_an_image_that_kills_the_worker_every_time_is_found_and_its_neighbours_are_not_harmed(
    start: StartHouse, strike: Strike
) -> None:
    """It is small to the network, so it shares batches; decoding it takes memory like no other.

    A killer of the test's own does what the kernel does to a container at its memory limit. It
    leaves no word of why, so each image is refused after its third death, the last two alone.
    """
    sides = (BOMB_SIDE, BOMB_SIDE)
    bombs = [encoded(Image.new("RGB", sides, colour), "JPEG") for colour in ("navy", "teal")]
    deaths: list[int] = []

    def fault() -> None:
        usual_bytes = max(map(resident_bytes, house.workers()))
        with killer(house, usual_bytes + MARGIN_BYTES) as killed:
            for bomb in (*bombs, *bombs):
                answer = house.segment(bomb, timeout_ms=120_000)
                assert (answer.status_code, answer.json()["code"]) == (422, "image_crashes_worker")
        deaths.extend(killed)

    house = start(workers=2, FCNSERVE_MAX_PIXELS=str(BOMB_SIDE**2))
    tally = strike(
        house, f"{len(bombs)} images that kill the worker every time: their neighbours", fault
    )
    assert tally.right == tally.sent
    assert len(deaths) == 3 * len(bombs)


def test_large_passes_find_no_memory_and_small_ones_go_on(
    start: StartHouse, strike: Strike
) -> None:
    """Kernels that oneDNN had no memory to prepare it never tries again: workers are ended."""
    large = Tally("no memory for large passes: photos of 2048 pixels")

    def fault() -> None:
        large.struck_at = time.monotonic()
        with Load(house.url, photos, large, LARGE_CLIENTS), scarce(house, SPARE_BYTES):
            house.wait_until(lambda: large.problems.total() >= LARGE_ANSWERS)
        begin_anew(house)
        with Load(house.url, photos, large, LARGE_CLIENTS) as load:
            load.wait_for_right_answers(LARGE_ANSWERS)

    house = start(workers=2)
    photos = photos_with_answers(house, large_photos(), max_side=MAX_SIDE)
    begin_anew(house)
    tally = strike(house, "no memory for large passes: small photos", fault)
    strike.tallies.append(large)
    assert tally.right_percent >= 90  # what a large pass has just taken, a small one may lack
    assert not large.losses
    assert large.wrong == 0
    assert (tally.problems | large.problems).keys() <= MEMORY_CODES


def begin_anew(house: House) -> None:
    """Have fresh workers, as an operator does: what these have had they keep."""
    for pid in (used := house.workers()):
        house.kill(pid)
    house.wait_until(lambda: not set(used) & set(house.workers()))
    house.wait_until_whole()


def large_photos() -> list[bytes]:
    return [encoded(Image.open(path).resize(LARGE[::-1]), "JPEG") for path in (ASTRONAUT, CAT)]


def encoded(image: Image.Image, kind: str) -> bytes:
    body = BytesIO()
    image.save(body, kind)
    return body.getvalue()
