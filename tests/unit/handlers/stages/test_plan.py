"""A plan has every photo once, keeps to the passes that were admitted, and is never beaten by
simpler plans on its own terms.
"""

import itertools
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.runtime.pass_costs import PassCosts, SharedPass
from handlers.shared.frame import Frame
from handlers.stages.plan import Group, plan

Size = tuple[int, int]
STRIDE = 32

frames = st.builds(Frame, *2 * [st.integers(1, 12).map(lambda side: side * STRIDE)])
batches = st.dictionaries(st.integers(0, 63), frames, max_size=24)


@st.composite
def costs(draw: st.DrawFn) -> PassCosts:
    """Any measured device: some passes are cheap, some costly, some were not admitted."""
    ladder = tuple(sorted(draw(st.sets(st.sampled_from([64, 128, 192, 256, 384]), max_size=4))))
    passes = st.sampled_from(
        [
            (Frame(*sides), n)
            for sides in itertools.product(ladder, repeat=2)
            for n in (1, 2, 3, 4, 8)
        ]
    )
    admitted = st.none() | st.frozensets(frames, max_size=100)
    shared_pass = st.builds(SharedPass, st.floats(0, 500, allow_nan=False), admitted)
    shared = draw(st.dictionaries(passes, shared_pass, max_size=30)) if ladder else {}
    return PassCosts(draw(st.floats(0, 50)), draw(st.floats(0, 1e-3)), ladder, shared)


def predicted_ms(groups: Sequence[Group], costs: PassCosts) -> float:
    return sum(
        costs.shared[group.canvas, len(group.members)].ms
        if len(group.members) > 1
        else costs.single_ms(group.canvas)
        for group in groups
    )


@pytest.mark.parametrize(
    ("size", "frame"),
    [
        pytest.param((1, 1), Frame(32, 32), id="smallest"),
        pytest.param((32, 64), Frame(32, 64), id="multiples"),
        pytest.param((33, 3000), Frame(64, 3008), id="one-more"),
        pytest.param((375, 500), Frame(384, 512), id="everyday"),
    ],
)
def test_a_frame_is_the_smallest_canvas_of_stride_multiples(size: Size, frame: Frame) -> None:
    assert Frame.of(size, STRIDE) == frame


@given(batches, costs())
def test_every_photo_is_in_exactly_one_group(batch: dict[int, Frame], costs: PassCosts) -> None:
    members = [index for group in plan(batch, costs) for index in group.members]
    assert sorted(members) == sorted(batch)


@given(batches, costs())
def test_groups_come_in_the_order_of_their_first_photos(
    batch: dict[int, Frame], costs: PassCosts
) -> None:
    firsts = [group.members[0] for group in plan(batch, costs)]
    assert firsts == sorted(firsts)


@given(batches, costs())
def test_a_group_is_a_single_pass_or_one_that_admits_its_photos(
    batch: dict[int, Frame], costs: PassCosts
) -> None:
    for group in plan(batch, costs):
        if len(group.members) == 1:
            assert [batch[index] for index in group.members] == [group.canvas]
        else:
            shared = costs.shared[group.canvas, len(group.members)]
            assert shared.admits([batch[index] for index in group.members])
        assert all(batch[index].height <= group.canvas.height for index in group.members)
        assert all(batch[index].width <= group.canvas.width for index in group.members)


@given(batches, costs())
def test_a_plan_is_never_slower_than_one_by_one(batch: dict[int, Frame], costs: PassCosts) -> None:
    one_by_one = sum(costs.single_ms(frame) for frame in batch.values())
    assert predicted_ms(plan(batch, costs), costs) <= one_by_one + 1e-9


@given(batches, costs())
def test_a_plan_is_never_slower_than_all_on_the_largest(
    batch: dict[int, Frame], costs: PassCosts
) -> None:
    tallest = max((frame.height for frame in batch.values()), default=0)
    widest = max((frame.width for frame in batch.values()), default=0)
    canvas = costs.shared_canvas(tallest, widest)
    together = costs.shared.get((canvas, len(batch))) if canvas and len(batch) > 1 else None
    if together is not None and together.admits(list(batch.values())):
        assert predicted_ms(plan(batch, costs), costs) <= together.ms + 1e-9


@given(batches, costs())
def test_groups_and_their_members_keep_the_order_of_the_batch(
    batch: dict[int, Frame], costs: PassCosts
) -> None:
    groups = plan(batch, costs)
    assert [group.members for group in groups] == sorted(group.members for group in groups)
    assert all(list(group.members) == sorted(group.members) for group in groups)


def test_the_canvas_of_a_single_pass_depends_on_no_measured_time() -> None:
    costs = PassCosts(10, 1e-4, (64, 128), {(Frame(128, 128), 1): SharedPass(1.0)})
    assert plan({0: Frame(96, 128)}, costs) == [Group(Frame(96, 128), (0,))]


def test_a_photo_shares_no_pass_that_would_change_its_bits() -> None:
    large, small = Frame(128, 128), Frame(64, 64)
    shared = {(large, 2): SharedPass(1.0, frozenset({large}))}
    costs = PassCosts(10, 1e-4, (64, 128), shared)
    assert plan({0: large, 1: small, 2: large}, costs) == [Group(large, (0, 2)), Group(small, (1,))]


def test_a_photo_above_the_ladder_gets_a_single_pass() -> None:
    costs = PassCosts(10, 1e-4, (64, 128), {(Frame(128, 128), 2): SharedPass(1.0)})
    batch = {0: Frame(160, 64), 1: Frame(64, 64), 2: Frame(96, 128)}
    assert plan(batch, costs) == [
        Group(Frame(160, 64), (0,)),
        Group(Frame(128, 128), (1, 2)),
    ]


def test_nothing_is_shared_where_sharing_costs_more() -> None:
    costs = PassCosts(1, 1e-4, (64,), {(Frame(64, 64), 2): SharedPass(100.0)})
    assert [group.members for group in plan(dict.fromkeys(range(4), Frame(64, 64)), costs)] == [
        (0,),
        (1,),
        (2,),
        (3,),
    ]


def test_seven_photos_take_the_passes_for_four_and_two() -> None:
    passes = {(Frame(64, 64), 2): SharedPass(11.0), (Frame(64, 64), 4): SharedPass(13.0)}
    groups = plan(dict.fromkeys(range(7), Frame(64, 64)), PassCosts(10, 0, (64,), passes))
    assert sorted(len(group.members) for group in groups) == [1, 2, 4]


def test_no_photos_make_no_groups() -> None:
    assert plan({}, PassCosts(1, 1)) == []


def test_sixty_four_photos_are_planned_without_trying_every_split() -> None:
    ladder = (64, 128, 192, 256)
    passes = {
        (Frame(*sides), n): SharedPass(5.0 * n)
        for sides in itertools.product(ladder, repeat=2)
        for n in (2, 8)
    }
    batch = {index: Frame(32 * (1 + index % 8), 32 * (1 + index % 7)) for index in range(64)}
    started = time.process_time()
    plan(batch, PassCosts(10, 1e-4, ladder, passes))
    assert time.process_time() - started < 1  # 2^63 splits would never end
