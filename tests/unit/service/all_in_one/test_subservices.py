"""What ends by itself is started again: later each time, and not for ever."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from service.all_in_one import subservices as halves
from service.all_in_one.subservices import (
    HEALTHY_S,
    MOST_RESTARTS,
    Restarts,
    Subservice,
    SubserviceEndedError,
)

WITHIN_S = 20.0


def test_pauses_grow_and_end() -> None:
    restarts = Restarts()
    pauses = [restarts.pause_s(1.0) for _ in range(MOST_RESTARTS + 1)]
    assert pauses == [1, 2, 4, 8, 16, None]


def test_what_has_run_for_long_begins_to_count_anew() -> None:
    restarts = Restarts()
    for _ in range(MOST_RESTARTS):
        restarts.pause_s(1.0)
    assert restarts.pause_s(HEALTHY_S) == 1
    assert restarts.pause_s(1.0) == 2


@pytest.fixture
def half(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Subservice:
    """A command that ends at once, with exit code 3."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(halves, "FIRST_PAUSE_S", 0.01)
    return Subservice("worker", {}, 1.0)


def keep_until(half: Subservice, holds: Callable[[], bool], *, may_restart: bool = True) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline
        half.keep(may_restart=may_restart)


def test_a_half_that_ends_is_started_again_a_bounded_number_of_times(half: Subservice) -> None:
    half.start()
    with pytest.raises(
        SubserviceEndedError, match=r"the worker ended by itself 6 times \(exit code 3\)"
    ):
        keep_until(half, lambda: False)
    assert half.child is None


def test_a_half_that_ends_before_it_was_ever_ready_stays_ended(half: Subservice) -> None:
    half.start()
    with pytest.raises(SubserviceEndedError, match=r"the worker ended by itself \(exit code 3\)"):
        keep_until(half, lambda: False, may_restart=False)


def test_between_two_starts_nothing_runs_and_stopping_is_harmless(
    half: Subservice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(halves, "FIRST_PAUSE_S", 60.0)
    half.start()
    keep_until(half, lambda: half.child is None)
    half.keep(may_restart=True)
    assert half.child is None
    half.stop()
