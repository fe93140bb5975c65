"""Figures that processes share: each writes its own, and all read the sums."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from service.multiprocess.group import (
    ANSWERED_S,
    IMAGES,
    PID,
    ProcessGroup,
)

SPAWN = multiprocessing.get_context("spawn")
WAIT_S = 60


def add(group: ProcessGroup, times: int) -> None:
    """Run in another process: count images, one at a time."""
    images = group.figure(IMAGES, "a")
    for _ in range(times):
        images.own += 1


def add_until_killed(group: ProcessGroup) -> None:
    """Run in another process: count without an end."""
    group.join()
    while True:
        add(group, 1000)


def test_each_process_has_its_own_number_and_sees_the_sum_of_all() -> None:
    group = ProcessGroup(["a", "b"], 3)
    processes = [SPAWN.Process(target=add, args=(group.at(index), 1000)) for index in (1, 2)]
    for process in processes:
        process.start()
    add(group, 1000)
    for process in processes:
        process.join(WAIT_S)
    images = group.figure(IMAGES, "a")
    assert list(images) == [1000, 1000, 1000]
    assert (images.own, images.total()) == (1000, 3000)
    assert group.figure(IMAGES, "b").total() == group.figure(IMAGES).total() == 0


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_one_process_alone_needs_no_open_file_and_several_close_theirs() -> None:
    before = open_files()
    alone, several = ProcessGroup(["a"]), ProcessGroup(["a"], 2)
    alone.figure(IMAGES, "a").own = several.figure(IMAGES, "a").own = 1
    assert open_files() > before
    del several
    assert open_files() == before
    assert alone.figure(IMAGES, "a").total() == 1


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_is_killed_or_stopped_at_any_point_blocks_no_other(
    signum: signal.Signals,
) -> None:
    group = ProcessGroup(["a"], 2)
    process = SPAWN.Process(target=add_until_killed, args=(group.at(1),))
    process.start()
    try:
        while group.figure(IMAGES, "a").total() < 10_000:
            assert process.is_alive()
        assert process.pid
        assert group.pids() == {"1": process.pid}
        os.kill(process.pid, signum)
        add(group, 5)
        assert group.figure(IMAGES, "a").own == 5
    finally:
        process.kill()
        process.join(WAIT_S)
    group.at(1).clear()
    assert list(group.figure(IMAGES, "a")) == [5, 0]
    assert group.pids() == {}


def test_what_a_process_has_answered_is_kept_after_its_end() -> None:
    group = ProcessGroup(count=2)
    for name in (ANSWERED_S, PID):
        group.at(1).figure(name).own = 7
    group.at(1).clear()
    assert (group.figure(ANSWERED_S).total(), group.figure(PID).total()) == (7, 0)
