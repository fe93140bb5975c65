"""A plan has every photo once, in groups of one frame that keep to the budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.plan import Frame, Group, plan

Size = tuple[int, int]

sides = st.integers(1, 4000)
batches = st.dictionaries(st.integers(0, 31), st.tuples(sides, sides), max_size=32)
# few sizes, so that frames meet
crowds = st.dictionaries(
    st.integers(0, 31), st.tuples(st.integers(1, 80), st.integers(1, 80)), max_size=32
)
budgets = st.integers(1, 5_000_000)


@pytest.mark.parametrize(
    ("size", "frame"),
    [
        pytest.param((1, 1), Frame(32, 32), id="smallest"),
        pytest.param((32, 64), Frame(32, 64), id="multiples"),
        pytest.param((33, 3000), Frame(64, 3008), id="one-more"),
        pytest.param((375, 500), Frame(384, 512), id="everyday"),
    ],
)
def test_a_frame_is_the_smallest_canvas_of_32_multiples(size: Size, frame: Frame) -> None:
    assert Frame.of(size) == frame


@given(sides, sides)
def test_a_frame_holds_its_photo_with_less_than_32_to_spare(height: int, width: int) -> None:
    frame = Frame.of((height, width))
    assert frame.height % 32 == frame.width % 32 == 0
    assert 0 <= frame.height - height < 32
    assert 0 <= frame.width - width < 32
    assert frame.pixels == frame.height * frame.width


@given(st.one_of(batches, crowds), budgets)
def test_every_photo_is_in_exactly_one_group(sizes: dict[int, Size], budget: int) -> None:
    members = [place for group in plan(sizes, budget) for place in group.members]
    assert sorted(members) == sorted(sizes)


@given(st.one_of(batches, crowds), budgets)
def test_a_group_has_one_frame_and_keeps_the_budget_unless_alone(
    sizes: dict[int, Size], budget: int
) -> None:
    for group in plan(sizes, budget):
        assert {Frame.of(sizes[place]) for place in group.members} == {group.frame}
        assert len(group.members) == 1 or len(group.members) * group.frame.pixels <= budget


@given(crowds, budgets)
def test_groups_and_members_keep_the_order_of_arrival(sizes: dict[int, Size], budget: int) -> None:
    in_order = dict(sorted(sizes.items()))
    groups = plan(in_order, budget)
    assert [group.members[0] for group in groups] == sorted(g.members[0] for g in groups)
    assert all(list(group.members) == sorted(group.members) for group in groups)


@given(crowds, budgets)
def test_no_two_groups_of_a_frame_would_fit_together(sizes: dict[int, Size], budget: int) -> None:
    rooms: dict[Frame, list[int]] = {}
    for group in plan(sizes, budget):
        rooms.setdefault(group.frame, []).append(len(group.members))
    for frame, counts in rooms.items():
        smallest = sorted(counts)[:2]
        assert len(counts) == 1 or sum(smallest) * frame.pixels > budget


def test_equal_frames_share_a_pass_and_the_budget_divides_them() -> None:
    sizes = {0: (30, 30), 1: (40, 30), 2: (1, 1), 3: (32, 32), 4: (64, 32)}
    frame, other = Frame(32, 32), Frame(64, 32)
    assert plan(sizes, 2 * frame.pixels) == [
        Group(frame, (0, 2)),
        Group(other, (1,)),
        Group(frame, (3,)),
        Group(other, (4,)),
    ]


def test_no_photos_make_no_groups() -> None:
    assert plan({}, 1) == []
