"""Connected regions of a label map, the filters that every output applies first, and the classes
that it then shows. Called by the other files of the room.

Pixels are connected through their four sides, never through a corner. Polygons use the same
regions: a region joined only at a corner would be a polygon that touches itself, which
GeoJSON readers reject, and `min_area` must mean the `area` that a polygon shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from service.render.types import VOID, LabelMap, Legend

CONNECTIVITY = 4


@dataclass(frozen=True)
class Regions:
    """Every connected region of some classes.

    `ids` (H, W) numbers the regions from 1; 0 is a pixel of none of these classes. `class_ids` and
    `areas` (in pixels) are indexed by these numbers.
    """

    ids: NDArray[np.int32]
    class_ids: NDArray[np.uint8]
    areas: NDArray[np.int64]


def filter_labels(
    labels: LabelMap, classes: frozenset[int] | None, min_area: int, legend: Legend
) -> LabelMap:
    """Remove all classes but `classes`, then regions of fewer than `min_area` pixels.

    Removed pixels become background or, in a model without one, VOID; background itself is not
    removed for its size. The input is not edited; without filters it is returned as it is.
    """
    if classes is not None:
        labels = _keep_classes(labels, classes, legend.filtered)
    if min_area > 1:
        labels = _drop_small(labels, min_area, legend.filtered)
    return labels


def shown_classes(
    labels: LabelMap, classes: frozenset[int] | None, legend: Legend, *, background: bool = False
) -> list[int]:
    """Return the ascending ids of the classes that an output shows: those present and requested.

    Background is one of them where `classes` (the filter already applied) names it; without
    `classes`, where `background` is true.
    """
    with_background = background if classes is None else legend.background in classes
    hidden = {VOID} if with_background else {VOID, legend.background}
    return [class_id for class_id in classes_present(labels) if class_id not in hidden]


def find_regions(labels: LabelMap, chosen: Sequence[int]) -> Regions:
    """Number the connected regions of these classes, class by class, within a class from the top
    left.
    """
    ids = np.zeros(labels.shape, np.int32)
    class_ids = [0]
    for class_id in chosen:
        mask = class_mask(labels, class_id)
        x, y, width, height = cv2.boundingRect(mask)
        window = np.s_[y : y + height, x : x + width]
        count, parts = cv2.connectedComponents(mask[window], connectivity=CONNECTIVITY)
        parts += len(class_ids) - 1
        np.copyto(ids[window], parts, where=mask[window] != 0, casting="same_kind")
        class_ids += [class_id] * (count - 1)
    areas = np.bincount(ids.ravel(), minlength=len(class_ids))
    return Regions(ids, np.array(class_ids, np.uint8), areas)


def classes_present(labels: LabelMap) -> list[int]:
    """Return the ascending labels of at least one pixel, background and VOID included."""
    counts = cv2.calcHist([labels], [0], None, [256], [0, 256])
    return [int(class_id) for class_id in np.flatnonzero(counts)]


def class_mask(labels: LabelMap, class_id: int) -> NDArray[np.uint8]:
    """Return (H, W), 1 where the class is and 0 elsewhere."""
    mask: NDArray[np.uint8] = (labels == class_id).view(np.uint8)
    return mask


def _keep_classes(labels: LabelMap, classes: frozenset[int], filtered: int) -> LabelMap:
    table = np.full(256, filtered, np.uint8)
    for class_id in classes:
        table[class_id] = class_id
    kept: LabelMap = cv2.LUT(labels, table).astype(np.uint8, copy=False)
    return kept


def _drop_small(labels: LabelMap, min_area: int, filtered: int) -> LabelMap:
    chosen = [class_id for class_id in classes_present(labels) if class_id != filtered]
    regions = find_regions(labels, chosen)
    table = np.where(regions.areas < min_area, filtered, regions.class_ids).astype(np.uint8)
    table[0] = filtered  # pixels of no region were filtered or background before
    kept: LabelMap = np.take(table, regions.ids)
    return kept
