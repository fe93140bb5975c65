"""Two evaluations on the same photos in, the gain of one over the other out.

Both are resampled at the same photos (a paired bootstrap): a photo that is hard for both models
does not change the difference, whose interval is therefore narrower than those of the figures.
Called by `fcnserve model evaluate --against`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_store.tools.dataset.errors import DataError
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
    """Compare with the first size of the evaluation in a folder; raises DataError."""
    name, before = read_earlier(earlier)
    if not np.array_equal(before.sum(2), counts.sum(2)):
        raise DataError(
            f"{earlier} has other photos or masks than these; evaluate both models on the same"
        )
    return gain(name, before, counts)


def read_earlier(earlier: Path) -> tuple[str, Counts]:
    """Read an evaluation's model and counts; raises DataError."""
    try:
        before: Counts = np.load(earlier / COUNTS_FILE)[0]
        document = json.loads((earlier / JSON_FILE).read_text())
        return f"{document['model']} {document['version']}", before
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"{earlier} holds no evaluation: {error}; name an earlier evaluation's --out folder"
        ) from error


def gain(over: str, before: Counts, counts: Counts) -> Gain:
    common = common_classes(counts)

    def difference(figure: Callable[[Floats], Floats]) -> Interval:
        total, resampled = (
            figure(after) - figure(earlier)
            for after, earlier in zip(sums(counts), sums(before), strict=True)
        )
        return Interval(float(total[0]), *bounds(resampled))

    return Gain(
        over,
        difference(pixel_accuracy),
        difference(lambda each: mean(ious(each))),
        difference(lambda each: mean(ious(each)[:, common])),
    )
