"""Load shapes: levels and times of their stages."""

from itertools import pairwise

import pytest

from loadtest.traffic.shapes import SHAPES, stage_at


@pytest.mark.parametrize("name", SHAPES)
def test_the_stages_of_a_shape_are_contiguous_and_fill_its_time(name: str) -> None:
    shape = SHAPES[name]
    stages = shape.stages(50, 30)
    assert stages[0].begins_s == 0
    assert all(a.ends_s == b.begins_s for a, b in pairwise(stages))
    assert stages[-1].ends_s == pytest.approx(30)
    assert [stage.users for stage in stages] == [max(1, round(50 * x)) for x in shape.levels]


def test_an_overload_is_ten_times_the_capacity() -> None:
    assert max(stage.users for stage in SHAPES["overload"].stages(80)) == 800


def test_a_second_belongs_to_one_stage_and_to_none_after_the_last() -> None:
    stages = SHAPES["steps"].stages(10, 90)
    assert stage_at(stages, 0) == stages[0]
    assert stage_at(stages, stages[0].ends_s) == stages[1]
    assert stage_at(stages, 91) is None
