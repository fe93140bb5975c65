"""Answers are checked by their labels."""

from collections import Counter

import numpy as np

from handlers.shared.png import write_indexed
from loadtest.front.turns import count_wrong

PALETTE = bytes(range(9))
EXPECTED = [np.array([[0, 1], [2, 2]], np.uint8), np.array([[1, 1]], np.uint8)]
RIGHT = [write_indexed(labels, PALETTE) for labels in EXPECTED]


def test_masks_with_the_expected_labels_are_right() -> None:
    assert count_wrong({index: Counter({one: 3}) for index, one in enumerate(RIGHT)}, EXPECTED) == 0


def test_each_mask_with_other_labels_or_of_another_size_is_wrong() -> None:
    one_pixel = write_indexed(np.array([[0, 1], [2, 1]], np.uint8), PALETTE)
    assert count_wrong({0: Counter({RIGHT[0]: 5, one_pixel: 2})}, EXPECTED) == 2
    assert count_wrong({0: Counter({RIGHT[1]: 4})}, EXPECTED) == 4
