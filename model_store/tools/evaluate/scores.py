"""Counts in, the paper's four figures out, each with its confidence interval.

Source: Long, Shelhamer and Darrell (CVPR 2015), section 5, "Metrics": with n_ij pixels of class i
called j, t_i pixels of class i, and n_cl classes *that occur in the truth*. Called by
`model_store.tools.evaluate.run`; `gain` and the validation of a training use single figures.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_store.tools.evaluate.confusion import Counts

Floats = NDArray[np.float64]

# of 257 photos of PASCAL VOC most classes have ten or fewer: too few for a stable mean
COMMON_PHOTOS = 20
RESAMPLES = 1000
INTERVAL = (2.5, 97.5)  # per cent


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure for these photos, and its bounds over 95 % of the bootstrap samples."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Scores:
    """A model's scores on a set of photos; classes that are nowhere in the truth are NaN."""

    pixel_accuracy: Interval
    mean_accuracy: Interval
    mean_iou: Interval
    frequency_weighted_iou: Interval
    # over classes that enough photos show; NaN where there are none
    common_mean_iou: Interval
    accuracy: Floats  # (classes,)
    iou: Floats  # (classes,)
    photos: NDArray[np.int64]  # (classes,) that show each class


def score(counts: Counts) -> Scores:
    """Score photos' counts (photos, classes, classes)."""
    total, resampled = sums(counts)
    common = common_classes(counts)

    def interval(figure: Callable[[Floats], Floats]) -> Interval:
        return Interval(float(figure(total)[0]), *bounds(figure(resampled)))

    return Scores(
        interval(pixel_accuracy),
        interval(lambda each: mean(accuracies(each))),
        interval(lambda each: mean(ious(each))),
        interval(frequency_weighted_iou),
        interval(lambda each: mean(ious(each)[:, common])),
        accuracies(total)[0],
        ious(total)[0],
        photos_showing(counts),
    )


def bounds(figures: Floats) -> tuple[float, float]:
    """Find the interval of the bootstrap's figures; NaN where all are NaN."""
    defined = figures[~np.isnan(figures)]
    low, high = np.percentile(defined, INTERVAL) if defined.size else (np.nan, np.nan)
    return float(low), float(high)


def photos_showing(counts: Counts) -> NDArray[np.int64]:
    """Count the photos that show each class: (classes,)."""
    return np.asarray((counts.sum(2) > 0).sum(0))


def common_classes(counts: Counts) -> NDArray[np.bool_]:
    """Mark the classes that enough photos show: (classes,)."""
    return np.asarray(photos_showing(counts) >= COMMON_PHOTOS)


def sums(counts: Counts) -> tuple[Floats, Floats]:
    """Add up all photos, and as many drawn with replacement: (1 and RESAMPLES, classes, classes).

    The draws depend on the number of photos alone, so two models are resampled alike.
    """
    photos, *classes = counts.shape
    random = np.random.default_rng(0)
    drawn = random.multinomial(photos, np.full(photos, 1 / photos), RESAMPLES)
    flat = counts.reshape(photos, -1).astype(np.float64)
    return flat.sum(0).reshape(1, *classes), (drawn @ flat).reshape(-1, *classes)


def ratio(part: Floats, total: Floats) -> Floats:
    """Divide; NaN where there is nothing to divide by."""
    quotient = np.full(part.shape, np.nan)
    np.divide(part, total, out=quotient, where=total > 0)
    return quotient


def mean(by_class: Floats) -> Floats:
    """Average over the classes that occur: (sets, classes) to (sets,)."""
    present = ~np.isnan(by_class)
    return ratio(np.where(present, by_class, 0).sum(1), present.sum(1).astype(np.float64))


def hits(counts: Floats) -> Floats:
    """n_ii: (sets, classes, classes) to (sets, classes)."""
    return np.diagonal(counts, axis1=1, axis2=2)


def pixel_accuracy(counts: Floats) -> Floats:
    """sum_i n_ii / sum_i t_i."""
    return ratio(hits(counts).sum(1), counts.sum((1, 2)))


def accuracies(counts: Floats) -> Floats:
    """n_ii / t_i."""
    return ratio(hits(counts), counts.sum(2))


def ious(counts: Floats) -> Floats:
    """n_ii / (t_i + sum_j n_ji - n_ii), for classes that occur."""
    truth = counts.sum(2)
    union = truth + counts.sum(1) - hits(counts)
    return ratio(hits(counts), np.where(truth > 0, union, 0))


def frequency_weighted_iou(counts: Floats) -> Floats:
    """sum_i t_i IoU_i / sum_k t_k."""
    truth = counts.sum(2)
    return ratio((truth * np.nan_to_num(ious(counts))).sum(1), truth.sum(1))
