"""What TorchServe may have of each of several gateway processes."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from handlers.shared.frame import Frame
from service.backend.queue import DispatchLimits, QueueEntry
from service.backend.room import NextRequest, Room
from service.multiprocess.group import ProcessGroup

LIMITS = DispatchLimits(requests=4, images=8, seconds=20.0, workers=2)


def rooms(processes: int) -> list[Room]:
    group = ProcessGroup(["a"], processes)
    return [Room(group.at(index).replicas, "a", "x") for index in range(processes)]


def entry(cost_s: float = 1.0) -> QueueEntry:
    return QueueEntry(0, Frame(32, 32), cost_s, LIMITS, 1, 1)


def send_all(room: Room, cost_s: float = 1.0) -> list[Sequence[QueueEntry]]:
    """Send requests of one image, of many that wait, while there is room."""
    sent: list[Sequence[QueueEntry]] = []
    while NextRequest(room, waiting=100).has_room(one := entry(cost_s)):
        room.take([one])
        sent.append([one])
    return sent


def test_while_the_others_have_nothing_to_send_a_process_may_use_all_of_the_room() -> None:
    first, second = rooms(2)
    sent = send_all(first)
    assert len(sent) == LIMITS.requests
    for request in sent:
        first.give_back(request)
    assert len(send_all(second)) == LIMITS.requests


def test_its_part_is_any_processs_and_the_total_returns_to_the_limit() -> None:
    first, second = rooms(2)
    sent = send_all(first)
    assert len(send_all(second)) == 2  # its part, whatever the other has
    for request in sent[:2]:
        first.give_back(request)
        assert not NextRequest(first, waiting=100).has_room(entry())
    first.give_back(sent[2])
    assert NextRequest(first, waiting=100).has_room(entry())


def test_seconds_are_shared_likewise() -> None:
    first, second = rooms(2)
    assert len(send_all(first, cost_s=8.0)) == 2  # 16 of 20
    assert len(send_all(second, cost_s=8.0)) == 1  # 8 of its part, 10


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_no_process_waits_for_another_and_all_together_have_twice_the_limit_at_most(
    processes: int,
) -> None:
    choose = random.Random(processes)
    all_rooms = rooms(processes)
    sent: list[tuple[Room, Sequence[QueueEntry]]] = []
    for _ in range(2000):
        room = choose.choice(all_rooms)
        if NextRequest(room, waiting=100).has_room(entry()):
            room.take(one := [entry()])
            sent.append((room, one))
        else:
            assert room.shared_requests  # their answers will wake it
        assert len(sent) < 2 * max(LIMITS.requests, processes)
        if choose.random() < 0.4 and sent:
            answered, request = sent.pop(choose.randrange(len(sent)))
            answered.give_back(request)


@pytest.mark.parametrize(("processes", "part"), [(1, 4), (3, 1), (9, 1)])
def test_processes_share_the_workers_and_each_has_at_least_one(processes: int, part: int) -> None:
    assert rooms(processes)[0].part(4) == part


def test_the_work_of_a_replica_is_that_of_all_processes_and_all_images() -> None:
    first, second = rooms(2)
    exclusive = entry(9.0)._replace(limits=replace(LIMITS, exclusive_s=5.0))
    first.take([entry(1.0)])
    second.take([entry(2.0)])
    second.take([exclusive])
    assert first.all_seconds() == second.all_seconds() == 12
    second.give_back([exclusive])
    assert first.all_seconds() == 3
