"""Figures that processes share: each writes its own, and all read the sums."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from service.multiprocess.group import (
    ANSWERED_S,
    IMAGES,
    MAX_REPLICAS,
    PID,
    REPLICA_ANSWERED,
    SENT_REQUESTS,
    ProcessGroup,
    tag_of,
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


def test_processes_find_a_replicas_figures_whatever_the_order_of_theirs() -> None:
    first = ProcessGroup(["a"], 2).at(0)
    second = first.at(1)
    tags = [tag_of(name) for name in ("x", "y", "z")]
    of_first = {tag: first.replica_figure(SENT_REQUESTS, "a", tag) for tag in tags}
    of_second = {tag: second.replica_figure(SENT_REQUESTS, "a", tag) for tag in reversed(tags)}
    for number, tag in enumerate(tags):
        of_first[tag].own, of_second[tag].own = 1 + number, 10 * (1 + number)
    assert [of_first[tag].total() for tag in tags] == [11, 22, 33]
    assert [list(of_second[tag]) for tag in tags] == [[1, 10], [2, 20], [3, 30]]
    second.keep_replicas({tags[0]})
    assert [of_first[tag].total() for tag in tags] == [11, 2, 3]


def test_a_replica_is_found_that_a_process_had_not_seen_or_has_found_again() -> None:
    first = ProcessGroup(["a"], 2).at(0)
    second, tag = first.at(1), tag_of("x")
    of_first = first.replica_figure(SENT_REQUESTS, "a", tag)
    assert list(of_first) == list(of_first) == [0, 0]
    second.replica_figure(SENT_REQUESTS, "a", tag_of("y"))
    second.replica_figure(SENT_REQUESTS, "a", tag).own = 5
    assert list(of_first) == [0, 5]
    second.keep_replicas(set())
    assert list(of_first) == [0, 0]
    second.replica_figure(SENT_REQUESTS, "a", tag).own = 7
    assert list(of_first) == [0, 7]


def test_a_process_that_has_ended_keeps_counts_and_leaves_its_replicas_room() -> None:
    first = ProcessGroup(["a"], 2).at(0)
    second, tag = first.at(1), tag_of("x")
    sent, answered = (
        second.replica_figure(name, "a", tag) for name in (SENT_REQUESTS, REPLICA_ANSWERED)
    )
    sent.own, answered.own = 2, 5
    second.clear()
    assert first.replica_figure(SENT_REQUESTS, "a", tag).total() == 0
    assert first.replica_figure(REPLICA_ANSWERED, "a", tag).total() == 5


def test_no_more_replicas_than_there_is_memory_for_get_a_slot() -> None:
    group = ProcessGroup(["a"], 2)
    for number in range(MAX_REPLICAS):
        group.replica_figure(SENT_REQUESTS, "a", tag_of(str(number)))
    with pytest.raises(ValueError, match="256 replicas"):
        group.replica_figure(SENT_REQUESTS, "a", tag_of("another"))
