"""Connected regions of a label map, by NumPy alone.

In: labels, and which of them count. Out: `Regions`. Called by `fcnserve_client.polygons`.

Pixels are connected through their four sides, as in the server. scikit-image or OpenCV would do it
in one call, and are ten times as large as this package with all that it needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]


@dataclass(frozen=True)
class Regions:
    """Every connected region of some classes.

    `ids` (H, W) numbers the regions from 1, class by class, within a class from the top left; 0 is
    a pixel of none of these classes. `class_ids` and `areas` (in pixels) are indexed by these
    numbers.
    """

    ids: Ints
    class_ids: NDArray[np.uint8]
    areas: NDArray[np.int64]


def find_regions(labels: NDArray[np.uint8], chosen: Sequence[int]) -> Regions:
    """Number the connected regions of the chosen classes in `labels` (H, W)."""
    run_of, starts = _runs(labels)
    roots = _joined(len(starts), *_touching(labels, run_of))
    class_of = labels.ravel()[starts]
    kept = np.flatnonzero((roots == np.arange(len(roots))) & np.isin(class_of, chosen))
    ordered = kept[np.argsort(class_of[kept], kind="stable")]
    number = np.zeros(len(roots), np.int32)
    number[ordered] = np.arange(1, len(ordered) + 1)
    ids = number[roots][run_of]
    class_ids = np.append(np.uint8(0), class_of[ordered])
    return Regions(ids, class_ids, np.bincount(ids.ravel(), minlength=len(class_ids)))


def _runs(labels: NDArray[np.uint8]) -> tuple[Ints, NDArray[np.int64]]:
    """Return the number of each pixel's run (equal labels in a row, side by side), (H, W), and the
    flat index of each run's first pixel.
    """
    first = np.ones(labels.shape, np.bool_)
    np.not_equal(labels[:, 1:], labels[:, :-1], out=first[:, 1:])
    run_of = np.cumsum(first, dtype=np.int32).reshape(labels.shape) - np.int32(1)
    return run_of, np.flatnonzero(first)


def _touching(labels: NDArray[np.uint8], run_of: Ints) -> tuple[Ints, Ints]:
    """Return pairs of runs of one label, one below the other."""
    above, below = run_of[:-1], run_of[1:]
    pairs = labels[:-1] == labels[1:]
    # of a pair's columns the first is enough: there one of the two runs begins
    pairs[:, 1:] &= (above[:, 1:] != above[:, :-1]) | (below[:, 1:] != below[:, :-1])
    return above[pairs], below[pairs]


def _joined(count: int, one: Ints, other: Ints) -> Ints:
    """Return the lowest number of each run's region, given pairs of runs that touch.

    All regions at once: the highest of two roots is made to point at the lower, then every run at
    its root, until the runs of each pair have the same one.
    """
    roots = np.arange(count, dtype=np.int32)
    while len(one):
        lower = np.minimum(roots[one], roots[other])
        np.minimum.at(roots, roots[one], lower)
        np.minimum.at(roots, roots[other], lower)
        while not np.array_equal(roots, following := roots[roots]):
            roots = following
        apart = roots[one] != roots[other]
        one, other = one[apart], other[apart]
    return roots
