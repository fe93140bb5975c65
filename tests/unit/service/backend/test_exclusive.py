"""Exclusive images have batches of their own, and leave workers to shared ones."""

import asyncio

import pytest

from service.backend import exclusive as exclusive_module
from tests.support.fakes import until
from tests.unit.service.backend.test_dispatcher import Simulation, settle

EXCLUSIVE_S, REST_S = 10.0, 0.2


@pytest.fixture(autouse=True)
def _settle_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exclusive_module, "SETTLE_S", 0.0)


def simulation(most_seconds: float = 100.0) -> Simulation:
    return Simulation(images=8, most_seconds=most_seconds, exclusive_s=EXCLUSIVE_S)


async def end(simulation: Simulation, *numbers: int) -> None:
    for number in numbers:
        simulation.ends[number].set()
    await settle()
    await settle()


async def test_exclusive_images_have_all_workers_where_there_are_no_shared_ones() -> None:
    images = simulation()
    for _ in range(3):
        images.arrive(20)
        await settle()
        await settle()
    assert images.in_flight == [0, 1]  # one a worker: in TorchServe's queue it would delay others
    await end(images, 0)
    assert images.in_flight == [1, 2]
    await end(images, 1, 2)


async def test_an_exclusive_image_takes_no_room_of_shared_ones() -> None:
    """Not even where the part of each gateway process is less than its cost."""
    images = simulation(most_seconds=EXCLUSIVE_S / 2)
    images.arrive(50)
    await settle()
    await settle()
    for _ in range(2):
        images.arrive(EXCLUSIVE_S / 4)
    await settle()
    assert images.in_flight == [0, 1, 2]
    await end(images, 0, 1, 2)


async def test_exclusive_images_pause_no_longer_than_the_last_one_took() -> None:
    images = simulation()
    images.arrive(1)
    images.arrive(1000)
    images.arrive(1)
    await settle()
    await end(images, 0)
    assert images.in_flight == [1, 2]
    images.arrive(1000)
    await end(images, 1)  # deferred or rejected: after no time
    await end(images, 2)
    await until(lambda: images.in_flight == [3])
    await end(images, 3)


async def test_an_exclusive_image_waits_until_all_dispatched_images_are_answered() -> None:
    images = simulation()
    for seconds in (1, 1, 20, 1):
        images.arrive(seconds)
    await settle()
    assert images.in_flight == [0, 1]  # the last one waits with it: the queue has to become empty
    await end(images, 0)
    assert images.in_flight == [1]
    await end(images, 1)
    await settle()
    assert images.in_flight == [2, 3]
    await end(images, 2, 3)


async def test_shared_images_follow_once_an_exclusive_one_has_reached_its_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exclusive_module, "SETTLE_S", 0.05)
    images = simulation()
    images.arrive(20)
    images.arrive(1)
    await settle()
    assert images.in_flight == [0]
    started = asyncio.get_running_loop().time()
    await until(lambda: images.in_flight == [0, 1])
    assert asyncio.get_running_loop().time() - started > 0.03
    await end(images, 0, 1)


async def test_beside_shared_images_one_exclusive_image_runs_at_a_time_followed_by_a_pause() -> (
    None
):
    images = Simulation(images=8, most_seconds=100, exclusive_s=REST_S / 2)
    for seconds in (0, REST_S, REST_S, 0):
        images.arrive(seconds)
    await settle()
    await end(images, 0)
    assert images.in_flight == [1, 3]
    loop = asyncio.get_running_loop()
    done = loop.time() + REST_S
    await until(lambda: loop.time() > done)
    await end(images, 1)
    resumes = loop.time() + REST_S
    images.arrive(0)
    await settle()
    assert images.in_flight == [3, 4]  # shared ones overtake the next exclusive one
    await until(lambda: loop.time() > resumes)
    images.arrive(0)
    await settle()
    assert images.in_flight == [3, 4]  # and now the queue becomes empty for it
    await end(images, 3, 4)
    assert images.in_flight == [2, 5]
    await end(images, 2, 5)


async def test_an_exclusive_image_is_dispatched_at_once_when_the_last_shared_one_is_answered() -> (
    None
):
    images = simulation()
    images.arrive(1)
    images.arrive(20)
    await settle()
    await end(images, 0)
    assert images.in_flight == [1]
    await end(images, 1)
