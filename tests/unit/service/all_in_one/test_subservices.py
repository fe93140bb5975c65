"""A subservice that ends is restarted, after growing pauses and a bounded number of times."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from service.all_in_one import subservices as module
from service.all_in_one.subservices import (
    HEALTHY_S,
    MAX_RESTARTS,
    Restarts,
    Subservice,
    SubserviceEndedError,
)

WITHIN_S = 20.0


def test_pauses_grow_and_end() -> None:
    restarts = Restarts()
    pauses = [restarts.pause_s(1.0) for _ in range(MAX_RESTARTS + 1)]
    assert pauses == [1, 2, 4, 8, 16, None]


def test_a_long_run_resets_the_count_of_restarts() -> None:
    restarts = Restarts()
    for _ in range(MAX_RESTARTS):
        restarts.pause_s(1.0)
    assert restarts.pause_s(HEALTHY_S) == 1
    assert restarts.pause_s(1.0) == 2


@pytest.fixture
def subservice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Subservice:
    """A command that ends at once, with exit code 3."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)
    return Subservice("worker", {}, 1.0)


def run_until(
    subservice: Subservice, holds: Callable[[], bool], *, may_restart: bool = True
) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline
        subservice.restart_if_ended(may_restart=may_restart)


def test_a_subservice_that_ends_is_restarted_a_bounded_number_of_times(
    subservice: Subservice,
) -> None:
    subservice.start()
    with pytest.raises(
        SubserviceEndedError, match=r"the worker ended by itself 6 times \(exit code 3\)"
    ):
        run_until(subservice, lambda: False)
    assert subservice.process is None


def test_a_subservice_that_ends_before_it_was_ever_ready_is_not_restarted(
    subservice: Subservice,
) -> None:
    subservice.start()
    with pytest.raises(SubserviceEndedError, match=r"the worker ended by itself \(exit code 3\)"):
        run_until(subservice, lambda: False, may_restart=False)


def test_a_subservice_can_be_stopped_during_the_pause_before_a_restart(
    subservice: Subservice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 60.0)
    subservice.start()
    run_until(subservice, lambda: subservice.process is None)
    subservice.restart_if_ended(may_restart=True)
    assert subservice.process is None
    subservice.stop()
