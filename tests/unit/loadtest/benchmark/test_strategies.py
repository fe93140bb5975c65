"""Batching strategies: every photo in one pass."""

from collections import Counter

import pytest

from handlers.shared.frame import Frame
from loadtest.benchmark.strategies import GROUPINGS, equal_frames, pad_to_largest

FRAMES = dict(enumerate([Frame(64, 96), Frame(96, 64), Frame(64, 96), Frame(32, 128)]))


@pytest.mark.parametrize("name", GROUPINGS)
def test_a_strategy_runs_every_photo_once_on_a_canvas_that_holds_it(name: str) -> None:
    groups = GROUPINGS[name](FRAMES)
    assert Counter(index for group in groups for index in group.members) == Counter(list(FRAMES))
    for group in groups:
        assert all(FRAMES[index].height <= group.canvas.height for index in group.members)
        assert all(FRAMES[index].width <= group.canvas.width for index in group.members)


def test_padding_to_the_largest_takes_one_pass_and_equal_frames_one_each() -> None:
    assert [group.canvas for group in pad_to_largest(FRAMES)] == [Frame(96, 128)]
    assert [group.members for group in equal_frames(FRAMES)] == [(0, 2), (1,), (3,)]
