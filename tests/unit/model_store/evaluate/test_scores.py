"""The figures are those of the FCN paper, section 5."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from model_store.tools.dataset.errors import DataError
from model_store.tools.dataset.labelled import VOID
from model_store.tools.evaluate.confusion import Counts, confusion
from model_store.tools.evaluate.gain import gain_over
from model_store.tools.evaluate.report import COUNTS_FILE, JSON_FILE
from model_store.tools.evaluate.scores import (
    COMMON_PHOTOS,
    Interval,
    frequency_weighted_iou,
    ious,
    mean,
    pixel_accuracy,
    score,
)

# rows are the truth: 6 pixels of class 0, 4 of class 1, none of class 2
PHOTO = np.array([[5, 1, 0], [1, 2, 1], [0, 0, 0]])


def test_the_four_figures_are_the_papers() -> None:
    found = score(PHOTO[None])
    assert found.pixel_accuracy.value == pytest.approx((5 + 2) / 10)
    assert found.mean_accuracy.value == pytest.approx((5 / 6 + 2 / 4) / 2)
    iou = [5 / (6 + 6 - 5), 2 / (4 + 3 - 2)]
    assert found.mean_iou.value == pytest.approx(sum(iou) / 2)
    assert found.frequency_weighted_iou.value == pytest.approx((6 * iou[0] + 4 * iou[1]) / 10)
    assert found.iou[:2] == pytest.approx(iou)


def test_a_class_that_no_photo_shows_is_left_out_of_the_means() -> None:
    found = score(PHOTO[None])
    assert np.isnan(found.iou[2])
    assert np.isnan(found.accuracy[2])
    assert found.photos.tolist() == [1, 1, 0]


def test_pixels_are_summed_over_photos_before_dividing() -> None:
    other = np.array([[0, 0, 0], [0, 10, 0], [0, 0, 0]])
    assert score(np.stack([PHOTO, other])).iou[1] == pytest.approx(12 / 15)


def test_void_pixels_are_left_out() -> None:
    truth = np.array([[0, 1, VOID]], np.uint8)
    predicted = np.array([[1, 1, 0]], np.uint8)
    assert confusion(truth, predicted, 2).tolist() == [[0, 1], [0, 1]]


@given(arrays(np.int64, (3, 4, 4), elements=st.integers(0, 1000)))
def test_figures_lie_between_zero_and_one(
    counts: NDArray[np.int64],
) -> None:
    total = counts.sum(0, dtype=np.float64)[None]
    for figure in (pixel_accuracy(total), mean(ious(total)), frequency_weighted_iou(total)):
        assert np.isnan(figure).all() or 0 <= figure[0] <= 1


def test_the_interval_of_equal_photos_is_a_point() -> None:
    found = score(np.stack([PHOTO] * 5)).mean_iou
    assert found.low == pytest.approx(found.value)
    assert found.high == pytest.approx(found.value)


def test_the_interval_of_different_photos_has_a_width() -> None:
    found = score(np.stack([PHOTO, 3 * np.diag([1, 1, 0])] * 5)).mean_iou
    assert found.low < found.value < found.high


def test_common_classes_are_those_that_enough_photos_show() -> None:
    rare = np.diag([0, 0, 9])
    found = score(np.stack([PHOTO] * COMMON_PHOTOS + [rare]))
    assert found.common_mean_iou.value == pytest.approx(np.nanmean(found.iou[:2]))
    assert found.mean_iou.value != found.common_mean_iou.value


def test_without_common_classes_their_mean_is_nan() -> None:
    assert np.isnan(score(PHOTO[None]).common_mean_iou.value)


def evaluated(folder: Path, counts: Counts) -> Path:
    np.save(folder / COUNTS_FILE, counts[None])
    (folder / JSON_FILE).write_text('{"model": "old", "version": "1.0"}')
    return folder


def test_a_gain_is_the_difference_of_the_figures(tmp_path: Path) -> None:
    counts = np.stack([PHOTO, 3 * PHOTO[[1, 0, 2]][:, [1, 0, 2]]] * 15)
    better = np.stack([np.diag(each.sum(1)) for each in counts])
    gained = gain_over(evaluated(tmp_path, counts), better)
    assert gained.over == "old 1.0"
    assert gained.mean_iou.value == pytest.approx(1 - score(counts).mean_iou.value)
    assert 0 < gained.mean_iou.low < gained.mean_iou.value < gained.mean_iou.high
    assert gain_over(tmp_path, counts).mean_iou == Interval(0, 0, 0)


def test_evaluations_of_other_photos_are_not_compared(tmp_path: Path) -> None:
    counts = np.stack([PHOTO] * 3)
    with pytest.raises(DataError, match="holds no evaluation"):
        gain_over(tmp_path, counts)
    with pytest.raises(DataError, match="has other photos or masks"):
        gain_over(evaluated(tmp_path, counts), 2 * counts)
