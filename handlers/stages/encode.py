"""The last stage: one photo's labels in, its PNG out.

Runs beside the next forward pass (`handlers.stages.codecs`). Called by `handlers.pipeline`.
"""

from dataclasses import dataclass

from PIL import Image

from handlers.runtime.labels import LabelArray, PendingLabels
from handlers.shared.png import write_grey_alpha, write_indexed


@dataclass(frozen=True, slots=True)
class Mask:
    """A PNG, and how many of its pixels have which class."""

    png: bytes
    class_pixels: dict[int, int]


def wait(pending: PendingLabels) -> PendingLabels:
    """Wait for the device, which is a part of the forward stage."""
    pending.wait()
    return pending


def encode(pending: PendingLabels, palette: bytes) -> Mask:
    """Make the mask, of the photo's own size: an indexed PNG.

    With confidence it is a grey+alpha PNG: label, confidence.
    """
    labels, confidence = pending.read()
    if confidence is None:
        png = write_indexed(labels, palette)
    else:
        png = write_grey_alpha(labels, confidence)
    return Mask(png, count_classes(labels))


def count_classes(labels: LabelArray) -> dict[int, int]:
    """Count the pixels of each class in labels (H, W)."""
    counts = Image.fromarray(labels).histogram()
    return {number: pixels for number, pixels in enumerate(counts) if pixels}
