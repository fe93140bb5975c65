"""Images that take long get batches of their own, and leave workers to shorter ones."""

import asyncio

import pytest

from service.backend import exclusive as long_images
from tests.support.fakes import until
from tests.unit.service.backend.test_dispatcher import Scene, settle

LONG_S, REST_S = 10.0, 0.2


@pytest.fixture(autouse=True)
def _no_time_to_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_images, "SETTLE_S", 0.0)


def scene(most_seconds: float = 100.0) -> Scene:
    return Scene(images=8, most_seconds=most_seconds, exclusive_s=LONG_S)


async def end(scene: Scene, *numbers: int) -> None:
    for number in numbers:
        scene.ends[number].set()
    await settle()
    await settle()


async def test_long_images_alone_have_all_workers() -> None:
    line = scene()
    for _ in range(3):
        line.arrive(20)
        await settle()
        await settle()
    assert line.underway == [0, 1]  # one for each: in TorchServe's queue it would be in the way
    await end(line, 0)
    assert line.underway == [1, 2]
    await end(line, 1, 2)


async def test_a_long_image_takes_no_room_of_shorter_ones() -> None:
    """Not even where several gateway processes have each a part that is less than it takes."""
    line = scene(most_seconds=LONG_S / 2)
    line.arrive(50)
    await settle()
    await settle()
    for _ in range(2):
        line.arrive(LONG_S / 4)
    await settle()
    assert line.underway == [0, 1, 2]
    await end(line, 0, 1, 2)


async def test_long_images_rest_no_longer_than_the_last_one_took() -> None:
    line = scene()
    line.arrive(1)
    line.arrive(1000)
    line.arrive(1)
    await settle()
    await end(line, 0)
    assert line.underway == [1, 2]
    line.arrive(1000)
    await end(line, 1)  # put off, or refused: after no time
    await end(line, 2)
    await until(lambda: line.underway == [3])
    await end(line, 3)


async def test_a_long_image_waits_until_what_was_handed_over_before_is_answered() -> None:
    line = scene()
    for seconds in (1, 1, 20, 1):
        line.arrive(seconds)
    await settle()
    assert line.underway == [0, 1]  # the last one waits with it: the queue has to run empty
    await end(line, 0)
    assert line.underway == [1]
    await end(line, 1)
    await settle()
    assert line.underway == [2, 3]
    await end(line, 2, 3)


async def test_shorter_images_follow_once_a_long_one_has_reached_its_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(long_images, "SETTLE_S", 0.05)
    line = scene()
    line.arrive(20)
    line.arrive(1)
    await settle()
    assert line.underway == [0]
    begun = asyncio.get_running_loop().time()
    await until(lambda: line.underway == [0, 1])
    assert asyncio.get_running_loop().time() - begun > 0.03
    await end(line, 0, 1)


async def test_beside_shorter_ones_a_single_long_image_goes_at_a_time_and_then_they_rest() -> None:
    line = Scene(images=8, most_seconds=100, exclusive_s=REST_S / 2)
    for seconds in (0, REST_S, REST_S, 0):
        line.arrive(seconds)
    await settle()
    await end(line, 0)
    assert line.underway == [1, 3]
    loop = asyncio.get_running_loop()
    done = loop.time() + REST_S
    await until(lambda: loop.time() > done)
    await end(line, 1)
    rested = loop.time() + REST_S
    line.arrive(0)
    await settle()
    assert line.underway == [3, 4]  # shorter ones go past the next long one
    await until(lambda: loop.time() > rested)
    line.arrive(0)
    await settle()
    assert line.underway == [3, 4]  # and now the queue runs empty for it
    await end(line, 3, 4)
    assert line.underway == [2, 5]
    await end(line, 2, 5)


async def test_a_long_image_goes_at_once_when_the_last_shorter_one_is_answered() -> None:
    line = scene()
    line.arrive(1)
    line.arrive(20)
    await settle()
    await end(line, 0)
    assert line.underway == [1]
    await end(line, 1)
