"""Python workers that are killed or hang: TorchServe starts them anew, and nobody is lost."""

import signal

import pytest

from tests.faults.scenario import StartHouse, Strike
from tests.faults.service import House


def end_worker(house: House, signum: int = signal.SIGKILL) -> None:
    """Send a signal that, sooner or later, is the end of a worker; wait until it has gone."""
    victim = house.workers()[0]
    house.kill(victim, signum)
    house.wait_until(lambda: victim not in house.workers())


def end_worker_times(house: House, times: int) -> None:
    """End a worker, and the next one as soon as there is one to end."""
    for _ in range(times):
        house.wait_until(lambda: bool(house.workers()))
        end_worker(house)


def test_one_of_two_workers_is_killed(start: StartHouse, strike: Strike) -> None:
    house = start(workers=2)
    tally = strike(house, "one of two Python workers killed", lambda: end_worker(house))
    assert tally.right_percent >= 99


def test_the_only_worker_is_killed(start: StartHouse, strike: Strike) -> None:
    house = start(workers=1)
    tally = strike(house, "the only Python worker killed", lambda: end_worker(house))
    assert tally.right == tally.sent


def test_two_workers_are_killed_at_once(start: StartHouse, strike: Strike) -> None:
    def fault() -> None:
        for victim in (victims := house.workers()):
            house.kill(victim)
        house.wait_until(lambda: not set(victims) & set(house.workers()))

    house = start(workers=2)
    tally = strike(house, "both Python workers killed at once", fault)
    assert tally.right_percent >= 99


def test_a_worker_is_killed_again_once_it_is_back(start: StartHouse, strike: Strike) -> None:
    """Whatever it has in hand both times is no cause of either."""

    def fault() -> None:
        end_worker(house)
        house.wait_until_whole()
        end_worker(house)

    house = start(workers=1)
    tally = strike(house, "the only Python worker killed, and again once it is back", fault)
    assert tally.right == tally.sent


def test_a_worker_is_killed_five_times_quickly(start: StartHouse, strike: Strike) -> None:
    """TorchServe waits longer from time to time: 1, 1, 2, 3, 5 seconds."""
    house = start(workers=1)
    tally = strike(
        house, "the only Python worker killed five times", lambda: end_worker_times(house, 5)
    )
    assert tally.right == tally.sent


@pytest.mark.parametrize("workers", [2, 1])
def test_a_worker_that_hangs_is_killed_by_torchserve(
    start: StartHouse, strike: Strike, workers: int
) -> None:
    house = start(workers=workers)
    tally = strike(
        house,
        f"one of {workers} Python workers hangs (SIGSTOP)",
        lambda: end_worker(house, signal.SIGSTOP),
    )
    assert tally.right_percent >= 99
