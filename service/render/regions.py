"""Connected regions of a label map, and the filters that every output applies first.

Pixels are connected through their four sides, never through a corner. Polygons use the same
regions: a region joined only at a corner would be a polygon that touches itself, which
GeoJSON readers reject, and `min_area` must mean the `area` that a polygon shows.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from service.render.types import LabelMap

CONNECTIVITY = 4


@dataclass(frozen=True)
class Regions:
    """Every connected region of every class but background.

    `ids` (H, W) numbers the regions from 1, 0 is background; `class_ids` and `areas` (in
    pixels) are looked up by these numbers.
    """

    ids: NDArray[np.int32]
    class_ids: NDArray[np.uint8]
    areas: NDArray[np.int64]


def filter_labels(labels: LabelMap, classes: frozenset[int] | None, min_area: int) -> LabelMap:
    """Labels with unwanted classes, then regions under `min_area` pixels, made background.

    What is removed becomes class 0, so an output that lists background counts it there.
    The input is not edited; without filters it is returned as it is.
    """
    if classes is not None:
        labels = _keep_classes(labels, classes)
    if min_area > 1:
        labels = _drop_small(labels, min_area)
    return labels


def find_regions(labels: LabelMap) -> Regions:
    """Number the connected regions, class by class, within a class from the top left."""
    ids = np.zeros(labels.shape, np.int32)
    class_ids = [0]
    for class_id in classes_present(labels):
        if class_id == 0:
            continue
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
    """Ascending class ids that have at least one pixel, background included."""
    counts = cv2.calcHist([labels], [0], None, [256], [0, 256])
    return [int(class_id) for class_id in np.flatnonzero(counts)]


def class_mask(labels: LabelMap, class_id: int) -> NDArray[np.uint8]:
    """(H, W) ones where the class is, zeros elsewhere."""
    mask: NDArray[np.uint8] = (labels == class_id).view(np.uint8)
    return mask


def _keep_classes(labels: LabelMap, classes: frozenset[int]) -> LabelMap:
    kept = np.zeros(256, np.uint8)
    for class_id in classes:
        kept[class_id] = class_id
    filtered: LabelMap = cv2.LUT(labels, kept).astype(np.uint8, copy=False)
    return filtered


def _drop_small(labels: LabelMap, min_area: int) -> LabelMap:
    regions = find_regions(labels)
    kept = np.where(regions.areas < min_area, 0, regions.class_ids).astype(np.uint8)
    filtered: LabelMap = np.take(kept, regions.ids)
    return filtered
