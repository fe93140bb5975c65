"""Figures of replicas: each process finds theirs, one by one and all at once, in any order."""

import pytest

from service.multiprocess.group import ProcessGroup
from service.multiprocess.replica_figures import (
    MAX_REPLICAS,
    REPLICA_ANSWERED,
    SENT_REQUESTS,
    FiguresOfMany,
    tag_of,
)


def test_processes_find_a_replicas_figures_whatever_the_order_of_theirs() -> None:
    first = ProcessGroup(["a"], 2).at(0)
    second = first.at(1)
    tags = [tag_of(name) for name in ("x", "y", "z")]
    of_first = {tag: first.replicas.figure(SENT_REQUESTS, "a", tag) for tag in tags}
    of_second = {tag: second.replicas.figure(SENT_REQUESTS, "a", tag) for tag in reversed(tags)}
    for number, tag in enumerate(tags):
        of_first[tag].own, of_second[tag].own = 1 + number, 10 * (1 + number)
    assert [of_first[tag].total() for tag in tags] == [11, 22, 33]
    assert [list(of_second[tag]) for tag in tags] == [[1, 10], [2, 20], [3, 30]]
    second.replicas.keep({tags[0]})
    assert [of_first[tag].total() for tag in tags] == [11, 2, 3]


def test_a_replica_is_found_that_a_process_had_not_seen_or_has_found_again() -> None:
    first = ProcessGroup(["a"], 2).at(0)
    second, tag = first.at(1), tag_of("x")
    of_first = first.replicas.figure(SENT_REQUESTS, "a", tag)
    assert list(of_first) == list(of_first) == [0, 0]
    second.replicas.figure(SENT_REQUESTS, "a", tag_of("y"))
    second.replicas.figure(SENT_REQUESTS, "a", tag).own = 5
    assert list(of_first) == [0, 5]
    second.replicas.keep(set())
    assert list(of_first) == [0, 0]
    second.replicas.figure(SENT_REQUESTS, "a", tag).own = 7
    assert list(of_first) == [0, 7]


def test_a_process_that_has_ended_keeps_counts_and_leaves_its_replicas_room() -> None:
    first = ProcessGroup(["a"], 2).at(0)
    second, tag = first.at(1), tag_of("x")
    sent, answered = (
        second.replicas.figure(name, "a", tag) for name in (SENT_REQUESTS, REPLICA_ANSWERED)
    )
    sent.own, answered.own = 2, 5
    second.clear()
    assert first.replicas.figure(SENT_REQUESTS, "a", tag).total() == 0
    assert first.replicas.figure(REPLICA_ANSWERED, "a", tag).total() == 5


def test_no_more_replicas_than_there_is_memory_for_get_a_slot() -> None:
    group = ProcessGroup(["a"], 2)
    for number in range(MAX_REPLICAS):
        group.replicas.figure(SENT_REQUESTS, "a", tag_of(str(number)))
    with pytest.raises(ValueError, match="256 replicas"):
        group.replicas.figure(SENT_REQUESTS, "a", tag_of("another"))


@pytest.mark.parametrize("processes", [1, 3])
def test_the_figures_of_many_replicas_are_those_of_each(processes: int) -> None:
    first = ProcessGroup(["a", "b"], processes)
    groups = [first, *(first.at(index) for index in range(1, processes))]
    tags = [tag_of(str(number)) for number in range(20)]
    of_first = {tag: first.replicas.figure(SENT_REQUESTS, "b", tag) for tag in tags}
    many = FiguresOfMany(first.replicas, "b", tags)
    assert not many.totals(SENT_REQUESTS).any()
    for index, group in enumerate(groups):  # each has found others, in another order
        for tag in sorted(tags, key=lambda tag: tag % (7 + index))[index:]:
            group.replicas.figure(SENT_REQUESTS, "b", tag).own = tag % 1000 + index
    assert list(many.own(SENT_REQUESTS)) == [of_first[tag].own for tag in tags]
    assert list(many.totals(SENT_REQUESTS)) == [of_first[tag].total() for tag in tags]
    groups[-1].replicas.keep(tags[:5])
    assert list(many.totals(SENT_REQUESTS)) == [of_first[tag].total() for tag in tags]


def test_a_process_that_ended_before_others_saw_its_replicas_hides_none_of_its_successor() -> None:
    first = ProcessGroup(["a"], 2)
    second, tag = first.at(1), tag_of("x")
    of_first = first.replicas.figure(SENT_REQUESTS, "a", tag)
    assert of_first.total() == 0
    changes = second.replicas.changes
    second.replicas.figure(SENT_REQUESTS, "a", tag)
    changes.own -= 1  # killed between the tag and the count
    assert of_first.total() == 0
    second.clear()
    first.at(1).replicas.figure(SENT_REQUESTS, "a", tag).own = 3
    assert of_first.total() == 3
