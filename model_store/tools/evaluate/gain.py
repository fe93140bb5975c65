"""Two evaluations on the same photos in, what one gained over the other out.

Both are drawn from at the same photos (a paired bootstrap): what makes a photo hard for both then
leaves the difference alone, whose interval is narrower than those of the figures.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_store.tools.dataset.labelled import DataError
from model_store.tools.evaluate.confusion import Counts
from model_store.tools.evaluate.report import COUNTS_FILE, JSON_FILE
from model_store.tools.evaluate.scores import (
    Floats,
    Interval,
    bounds,
    common_classes,
    ious,
    mean,
    pixel_accuracy,
    sums,
)


@dataclass(frozen=True, slots=True)
class Gain:
    """How much higher figures are than those of an earlier evaluation."""

    over: str
    pixel_accuracy: Interval
    mean_iou: Interval
    common_mean_iou: Interval


def gain_over(earlier: Path, counts: Counts) -> Gain:
    """Compare with what an evaluation's folder has of its first size; raises DataError."""
    name, before = read_earlier(earlier)
    if not np.array_equal(before.sum(2), counts.sum(2)):
        raise DataError(
            f"{earlier} is about other photos or masks than these; evaluate both models on the same"
        )
    return gain(name, before, counts)


def read_earlier(earlier: Path) -> tuple[str, Counts]:
    """Read which model an evaluation was of, and its counts; raises DataError."""
    try:
        before: Counts = np.load(earlier / COUNTS_FILE)[0]
        words = json.loads((earlier / JSON_FILE).read_text())
        return f"{words['model']} {words['version']}", before
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"{earlier} holds no evaluation: {error}; name what was an evaluation's --out"
        ) from error


def gain(over: str, before: Counts, counts: Counts) -> Gain:
    common = common_classes(counts)

    def difference(figure: Callable[[Floats], Floats]) -> Interval:
        whole, drawn = (
            figure(after) - figure(earlier)
            for after, earlier in zip(sums(counts), sums(before), strict=True)
        )
        return Interval(float(whole[0]), *bounds(drawn))

    return Gain(
        over,
        difference(pixel_accuracy),
        difference(lambda each: mean(ious(each))),
        difference(lambda each: mean(ious(each)[:, common])),
    )
