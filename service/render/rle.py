"""COCO run-length encoding: one segment a class, as `pycocotools.mask.decode` reads it.

A label map comes in, the segments go out. Called by `service.render.outputs`.
"""

import numpy as np
from pycocotools import mask as coco
from pydantic import BaseModel, Field

from service.render.regions import class_mask, shown_classes
from service.render.types import LabelMap, Legend


class CocoRle(BaseModel):
    """A compressed COCO mask, ready for `pycocotools.mask.decode`."""

    size: tuple[int, int] = Field(description="height, width")
    counts: str = Field(description="COCO's compressed run lengths, column by column")


class RleSegment(BaseModel):
    """All pixels of one class."""

    class_id: int
    class_name: str
    area: int = Field(description="pixels")
    bbox: tuple[int, int, int, int] = Field(description="x, y, width, height")
    rle: CocoRle


class RleAnswer(BaseModel):
    """The label map, class by class; background where `classes` names it."""

    size: tuple[int, int] = Field(description="height, width")
    segments: list[RleSegment]


def rle(labels: LabelMap, classes: frozenset[int] | None, legend: Legend) -> RleAnswer:
    """Make the segments, by class id; `classes` is the filter already applied."""
    columns = np.asfortranarray(labels)  # COCO counts down the columns
    shown = shown_classes(labels, classes, legend)
    return RleAnswer(
        size=labels.shape,
        segments=[_segment(columns, class_id, legend) for class_id in shown],
    )


def _segment(columns: LabelMap, class_id: int, legend: Legend) -> RleSegment:
    encoded = coco.encode(class_mask(columns, class_id))
    x, y, width, height = coco.toBbox(encoded).astype(int).tolist()
    return RleSegment(
        class_id=class_id,
        class_name=legend.name(class_id),
        area=int(coco.area(encoded)),
        bbox=(x, y, width, height),
        rle=CocoRle(size=columns.shape, counts=encoded["counts"].decode("ascii")),
    )
