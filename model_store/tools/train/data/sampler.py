"""Which photos are learned from, and how often: those with rare classes come more often.

A photo is drawn by the rarest class in it, after Gupta, Dollar and Girshick, "LVIS" (CVPR 2019),
section 4.2: in proportion to (1 / the part of photos that show it) ** power, where they take 0.5.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_store.tools.dataset.survey import Survey

# a class that fills less of a mask than this is not what a photo is drawn for
LEAST_PART = 0.002


@dataclass(frozen=True, slots=True)
class Census:
    """Which classes are in which photo: (photos, classes) bool."""

    shows: NDArray[np.bool_]

    @classmethod
    def of(cls, found: Survey) -> "Census":
        classes = len(found.legend.classes)
        return cls(np.stack([shown(pixels, classes) for pixels in found.pixels]))

    def weights(self, power: float) -> NDArray[np.float64]:
        """How likely each photo is drawn: (photos,), one in all."""
        parts = self.shows.mean(0).clip(1 / len(self.shows))  # (classes,)
        by_class = np.where(self.shows, parts**-power, 0)
        by_class[~self.shows.any(1)] = 1  # nothing but void: as often as what all photos show
        return np.asarray(by_class.max(1) / by_class.max(1).sum())

    def showing(self, place: int) -> NDArray[np.int64]:
        """The photos of one class, by number."""
        return np.flatnonzero(self.shows[:, place])


def shown(pixels: NDArray[np.int64], classes: int) -> NDArray[np.bool_]:
    """Say of each class whether a mask, of so many pixels of each value, is one to draw it by."""
    least = min(LEAST_PART * pixels.sum(), pixels[:classes].max())
    return np.asarray(pixels[:classes] >= max(least, 1))
