"""Colours for classes are distinct, and similar ones are found."""

import numpy as np
import pytest

from model_store.tools.dataset.palette import (
    AVOIDED,
    CLOSE,
    distinct_colours,
    similar_pairs,
    to_lab,
)


@pytest.mark.parametrize("count", [2, 21, 255])
def test_colours_differ_from_each_other_and_from_those_with_a_meaning(count: int) -> None:
    colours = distinct_colours(count)
    assert (len(colours), colours[0]) == (count, (0, 0, 0))
    lab = to_lab([*colours, *AVOIDED])
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    distance[-len(AVOIDED) :, -len(AVOIDED) :] = np.inf
    np.fill_diagonal(distance, np.inf)
    assert distance.min() > 2 * CLOSE
    assert distinct_colours(count) == colours


def test_similar_colours_are_found() -> None:
    assert similar_pairs([(0, 0, 0), (250, 0, 0), (1, 1, 1), (250, 3, 0)]) == [(0, 2), (1, 3)]
