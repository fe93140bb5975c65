"""The summary of a mask: how many of the photo's pixels each class covers, and where.

A label map comes in, one entry a class goes out. Called by `service.render.outputs`.
"""

import cv2
from pydantic import BaseModel, Field

from service.render.regions import class_mask, shown_classes
from service.render.types import LabelMap, Legend


class ClassSummary(BaseModel):
    """One class that is present."""

    class_id: int
    class_name: str
    pixels: int
    share: float = Field(description="of all pixels, 0 to 1")
    bbox: tuple[int, int, int, int] = Field(description="x, y, width, height")


class SummaryAnswer(BaseModel):
    """All classes present; background too, unless `classes` does not name it."""

    size: tuple[int, int] = Field(description="height, width")
    classes: list[ClassSummary]


def summary(labels: LabelMap, classes: frozenset[int] | None, legend: Legend) -> SummaryAnswer:
    """Make the entries, by class id; `classes` is the filter already applied."""
    shown = shown_classes(labels, classes, legend, background=True)
    return SummaryAnswer(size=labels.shape, classes=[_class(labels, c, legend) for c in shown])


def _class(labels: LabelMap, class_id: int, legend: Legend) -> ClassSummary:
    mask = class_mask(labels, class_id)
    pixels = cv2.countNonZero(mask)
    x, y, width, height = cv2.boundingRect(mask)
    return ClassSummary(
        class_id=class_id,
        class_name=legend.name(class_id),
        pixels=pixels,
        share=pixels / labels.size,
        bbox=(x, y, width, height),
    )
