"""Exclusive images are requests of their own, and leave workers to shared ones."""

import asyncio

from tests.support.fakes import until
from tests.unit.service.backend.test_dispatcher import Simulation, settle

EXCLUSIVE_S, REST_S = 10.0, 0.2


def simulation(most_seconds: float = 100.0) -> Simulation:
    return Simulation(4, 8, most_seconds, exclusive_s=EXCLUSIVE_S)


async def test_exclusive_images_have_all_workers_where_there_are_no_shared_ones() -> None:
    images = simulation()
    images.arrive(20, 20, 20)
    await settle()
    assert images.requests == [[0], [1]]  # another one would delay others in TorchServe's queue
    await images.end(0)
    assert images.in_flight == [1, 2]
    await images.end(1, 2)


async def test_an_exclusive_image_takes_no_room_of_shared_ones() -> None:
    """Not even where the part of each gateway process is less than its cost."""
    images = simulation(most_seconds=EXCLUSIVE_S / 2)
    images.arrive(50)
    await settle()
    images.arrive(EXCLUSIVE_S / 4, EXCLUSIVE_S / 4)
    await settle()
    assert images.requests == [[0], [1, 2]]
    await images.end(0, 1, 2)


async def test_an_exclusive_image_shares_no_request_and_delays_none() -> None:
    images = simulation()
    images.arrive(1, 1, 20, 1, 1)
    await settle()
    assert images.requests == [[0, 1], [2], [3, 4]]
    await images.end(0, 1, 2, 3, 4)


async def test_exclusive_images_pause_no_longer_than_the_last_one_took() -> None:
    images = simulation()
    images.arrive(1000)
    images.arrive(1)
    await settle()
    assert images.in_flight == [0, 1]
    images.arrive(1000)
    await images.end(0)  # rejected: after no time
    await until(lambda: images.in_flight == [1, 2])
    await images.end(1, 2)


async def test_beside_shared_images_one_exclusive_image_runs_at_a_time_followed_by_a_pause() -> (
    None
):
    images = Simulation(4, 8, 100, exclusive_s=REST_S / 2)
    images.arrive(0, REST_S, REST_S)
    await settle()
    assert images.in_flight == [0, 1]
    loop = asyncio.get_running_loop()
    done = loop.time() + REST_S
    await until(lambda: loop.time() > done)
    await images.end(1)
    resumes = loop.time() + REST_S
    images.arrive(0)
    await settle()
    assert images.in_flight == [0, 3]  # shared ones overtake the next exclusive one
    await until(lambda: images.in_flight == [0, 3, 2])
    assert loop.time() >= resumes - REST_S / 2
    await images.end(0, 3, 2)
