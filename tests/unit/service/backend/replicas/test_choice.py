"""Which replica gets the next image: by work, measured speed and room; nothing is sent anywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.shared.frame import Frame
from service.backend.client import TorchServeClient
from service.backend.queue import DispatchLimits, QueueEntry
from service.backend.replicas.choice import choose, for_exclusive
from service.backend.replicas.ready import ReadyReplicas
from service.backend.replicas.replica import ModelReplica
from service.backend.room import NextRequest
from service.inference_address import InferenceAddress
from service.multiprocess.group import ProcessGroup
from tests.support.replicas import model_replicas

LIMITS = DispatchLimits(requests=2, images=4, seconds=100.0, workers=1, exclusive_s=50.0)
NAMES = ("a", "b", "c")


def entry(cost_s: float = 1.0, avoid: str = "", prefer: str = "") -> QueueEntry:
    return QueueEntry(0, Frame(32, 32), cost_s, LIMITS, 1, 1, avoid=avoid, prefer=prefer)


def chosen(image: QueueEntry, *replicas: ModelReplica, waiting: int = 1) -> str:
    choice = choose(image, waiting, ReadyReplicas(replicas))
    return choice.replica.name if choice else ""


def at_speeds(*speeds: float) -> list[ModelReplica]:
    replicas = list(model_replicas(*NAMES[: len(speeds)]).all)
    for replica, speed in zip(replicas, speeds, strict=True):
        replica.speed.value = speed
    return replicas


def test_of_idle_replicas_the_fastest_is_chosen() -> None:
    assert chosen(entry(), *at_speeds(1, 2, 0.5)) == "b"


def test_a_slower_replica_is_chosen_once_it_would_be_done_first() -> None:
    fast, slow = at_speeds(3, 1)
    fast.take([entry(1.0)])
    assert chosen(entry(), fast, slow) == "a"  # 2/3 s
    fast.take([entry(1.0)])
    assert chosen(entry(), fast, slow) == "b"  # full


def test_an_idle_worker_is_used_however_slow_and_no_second_request_waits_at_a_slow_one() -> None:
    fast, slow = at_speeds(10, 1)
    for _ in range(LIMITS.requests):
        fast.take([entry()])
    assert chosen(entry(), fast, slow) == "b"
    slow.take([entry()])
    assert chosen(entry(), fast, slow) == ""


def test_an_image_goes_to_another_replica_than_the_one_that_lost_it_if_there_is_one() -> None:
    lost, other = at_speeds(10, 1)
    assert chosen(entry(avoid="a"), lost, other) == "b"
    assert chosen(entry(avoid="a"), lost) == "a"
    assert chosen(entry(prefer="b"), lost, other) == "b"


def test_a_request_ends_where_its_next_image_would_be_done_sooner_elsewhere() -> None:
    fast, slow = at_speeds(2, 1)
    choice = choose(entry(), 9, ReadyReplicas([fast, slow]))
    assert choice is not None
    for images in range(3):  # 0.5, 1, and 1.5 s here, or 1 s there
        assert choice.has_room(entry()) == (images < 2)
        if images < 2:
            choice.request.add(entry())


def test_unequal_cards_limit_each_replica_by_its_own() -> None:
    slow = LIMITS
    fast = DispatchLimits(2, 4, seconds=100.0, workers=1, exclusive_s=5.0)  # ten times as fast
    assert fast.in_unit_of(slow).seconds == 10 * fast.seconds
    assert slow.in_unit_of(slow) is slow
    assert fast.in_unit_of(DispatchLimits(1, 1, 1.0)) is fast


@pytest.mark.parametrize(("count", "most"), [(1, 1), (2, 1), (3, 1), (4, 2)])
async def test_exclusive_images_take_half_of_the_replicas_at_most(count: int, most: int) -> None:
    replicas = ReadyReplicas(model_replicas(*map(str, range(count))).all)
    image, taken = entry(60.0), 0
    while free := for_exclusive(image, replicas, has_shared_waiting=True):
        free[0].take([image._replace(sequence=taken)])
        taken += 1
    assert taken == most
    busy = [each for each in replicas if each.exclusive.count]
    assert len(busy) == most


def searched(image: QueueEntry, waiting: int, replicas: list[ModelReplica]) -> list[str]:
    """Search for the choice and the next best in the order of their times, as it is defined."""
    in_order = sorted(replicas, key=lambda each: each.finish_s(image.cost_s))
    idle = [each for each in in_order[1:] if each.room.has_idle_worker(LIMITS)]
    candidates = (in_order[0], *idle)
    found = [e.name for e in candidates if NextRequest(e.room, waiting, LIMITS).has_room(image)]
    return found[:2]


@pytest.mark.parametrize("processes", [1, 3])
@given(data=st.data())
def test_the_choice_among_arrays_is_that_of_a_search_in_order(
    processes: int, data: st.DataObject
) -> None:
    """Speeds are all different, since equal times leave the choice open."""
    groups = ProcessGroup(["any"], processes)
    of_process = [replicas_in(groups.at(index) if index else groups) for index in range(processes)]
    replicas = of_process[0]
    for replica, speed in zip(replicas, data.draw(st.permutations([1.0, 1.9, 0.53])), strict=True):
        replica.speed.value = speed
    waiting = data.draw(st.integers(1, 9))
    sent = st.tuples(st.integers(0, processes - 1), st.integers(0, 2), st.sampled_from([0.3, 7.0]))
    for process, index, cost_s in data.draw(st.lists(sent, max_size=12)):
        of_process[process][index].take([entry(cost_s)])
    image = entry(data.draw(st.sampled_from([0.3, 2.0, 9.0])))
    choice = choose(image, waiting, ReadyReplicas(replicas))
    names = [each.name for each in (choice.replica, choice.other) if each] if choice else []
    assert names == searched(image, waiting, replicas)


def replicas_in(group: ProcessGroup) -> list[ModelReplica]:
    """The replicas as one process sees them, which each finds in an order of its own."""
    client = TorchServeClient(InferenceAddress("127.0.0.1", 1), 1)
    order = NAMES[group.index :] + NAMES[: group.index]
    made = {name: ModelReplica(name, "any", client, group, lambda: None) for name in order}
    return [made[name] for name in NAMES]


@given(
    st.lists(st.sampled_from([0.25, 0.5, 1.0, 2.0]), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0.5, 1.0, 8.0])), max_size=40),
)
def test_room_is_never_exceeded_and_an_image_waits_only_for_a_busy_replica(
    speeds: list[float], steps: list[tuple[int, float]]
) -> None:
    replicas = at_speeds(*speeds)
    sent: list[tuple[ModelReplica, QueueEntry]] = []
    for answered, cost_s in steps:
        image = entry(cost_s)
        choice = choose(image, 8, ReadyReplicas(replicas))
        if choice is None:
            assert all(each.room.shared_requests >= LIMITS.workers for each in replicas)
        else:
            choice.replica.take([image])
            sent.append((choice.replica, image))
        assert all(each.room.shared_requests <= LIMITS.requests for each in replicas)
        for _ in range(min(answered, len(sent))):
            replica, image = sent.pop(0)
            replica.give_back([image])
