"""Python workers are killed or hang: TorchServe restarts them, and no request is lost."""

import signal

import pytest

from tests.faults.scenario import Scenario, StartService
from tests.faults.service import Service


def end_worker(service: Service, signum: int = signal.SIGKILL) -> None:
    """Send a worker a signal that ends it, sooner or later, and wait until it has ended."""
    victim = service.workers()[0]
    service.kill(victim, signum)
    service.wait_until(lambda: victim not in service.workers())


def end_worker_times(service: Service, times: int) -> None:
    """End a worker, then the next as soon as it has started."""
    for _ in range(times):
        service.wait_until(lambda: bool(service.workers()))
        end_worker(service)


def test_one_of_two_workers_is_killed(start: StartService, scenario: Scenario) -> None:
    service = start(workers=2)
    counts = scenario(service, "one of two Python workers killed", lambda: end_worker(service))
    assert counts.correct_percent >= 99


def test_the_only_worker_is_killed(start: StartService, scenario: Scenario) -> None:
    service = start(workers=1)
    counts = scenario(service, "the only Python worker killed", lambda: end_worker(service))
    assert counts.correct == counts.sent


def test_two_workers_are_killed_at_once(start: StartService, scenario: Scenario) -> None:
    def fault() -> None:
        for victim in (victims := service.workers()):
            service.kill(victim)
        service.wait_until(lambda: not set(victims) & set(service.workers()))

    service = start(workers=2)
    counts = scenario(service, "both Python workers killed at once", fault)
    assert counts.correct_percent >= 99


def test_a_worker_is_killed_again_after_its_restart(
    start: StartService, scenario: Scenario
) -> None:
    """The images of its batches are not taken for the cause."""

    def fault() -> None:
        end_worker(service)
        service.wait_until_complete()
        end_worker(service)

    service = start(workers=1)
    counts = scenario(service, "the only Python worker killed, and again after its restart", fault)
    assert counts.correct == counts.sent


def test_a_worker_is_killed_five_times_quickly(start: StartService, scenario: Scenario) -> None:
    """TorchServe waits longer before each restart: 1, 1, 2, 3, 5 seconds."""
    service = start(workers=1)
    counts = scenario(
        service, "the only Python worker killed five times", lambda: end_worker_times(service, 5)
    )
    assert counts.correct == counts.sent


@pytest.mark.parametrize("workers", [2, 1])
def test_a_worker_that_hangs_is_killed_by_torchserve(
    start: StartService, scenario: Scenario, workers: int
) -> None:
    service = start(workers=workers)
    counts = scenario(
        service,
        f"one of {workers} Python workers hangs (SIGSTOP)",
        lambda: end_worker(service, signal.SIGSTOP),
    )
    assert counts.correct_percent >= 99
