"""A survey of masks in, each photo's sampling probability out, higher for rare classes.

A photo is sampled by its rarest class, after Gupta, Dollar and Girshick, "LVIS" (CVPR 2019),
section 4.2: in proportion to (1 / the part of photos that show it) ** power, where they take 0.5.
Called by `model_store.tools.train.examples`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_store.tools.dataset.survey import Survey

# a class that covers less of a mask than this does not count as shown
MIN_PART = 0.002


@dataclass(frozen=True, slots=True)
class ClassPresence:
    """Which photos show which classes: (photos, classes) bool."""

    shows: NDArray[np.bool_]

    @classmethod
    def of(cls, survey: Survey) -> "ClassPresence":
        classes = len(survey.legend.classes)
        return cls(np.stack([shown(pixels, classes) for pixels in survey.pixels]))

    def probabilities(self, power: float) -> NDArray[np.float64]:
        """Give each photo's probability of being sampled: (photos,), with the sum 1."""
        parts = self.shows.mean(0).clip(1 / len(self.shows))  # (classes,)
        by_class = np.where(self.shows, parts**-power, 0)
        by_class[~self.shows.any(1)] = 1  # void alone: like a class that all photos show
        return np.asarray(by_class.max(1) / by_class.max(1).sum())

    def photos_showing(self, class_id: int) -> NDArray[np.int64]:
        """Give the photos of one class, by number."""
        return np.flatnonzero(self.shows[:, class_id])


def shown(pixels: NDArray[np.int64], classes: int) -> NDArray[np.bool_]:
    """Mark the classes that cover enough of a mask: (256,) pixels of each value to (classes,)."""
    least = min(MIN_PART * pixels.sum(), pixels[:classes].max())
    return np.asarray(pixels[:classes] >= max(least, 1))
