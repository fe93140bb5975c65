"""The last verb: one photo's label map in, its PNG out.

Runs in threads, beside the next forward pass.
"""

from dataclasses import dataclass

from PIL import Image

from handlers.runtime.network import Reading
from handlers.shared.errors import ProblemError
from handlers.shared.photo import Pixels
from handlers.shared.png import write_grey_alpha, write_indexed
from handlers.stages.decode import Opened
from handlers.stages.forward import Forwarded


@dataclass(frozen=True, slots=True)
class Labelled:
    """A photo whose label map can be read."""

    reading: Reading
    opened: Opened

    @property
    def request_id(self) -> str:
        return self.opened.request_id


@dataclass(frozen=True, slots=True)
class Mask:
    """A PNG, how many of its pixels have which class, and how long the device was waited for."""

    png: bytes
    class_pixels: dict[int, int]
    waited_ms: float


def labelled(forwarded: Forwarded, opened: Opened) -> Labelled | ProblemError:
    """Take a photo's label map together with what encoding needs to know of it."""
    reading = forwarded.reading
    return reading if isinstance(reading, ProblemError) else Labelled(reading, opened)


def encode(photo: Labelled, palette: bytes) -> Mask:
    """Make the mask, of the photo's own size: an indexed PNG.

    With confidence it is a grey+alpha PNG: label, confidence.
    """
    labels, confidence, waited_ms = photo.reading()
    if confidence is None:
        png = write_indexed(labels, palette)
    else:
        png = write_grey_alpha(labels, confidence)
    return Mask(png, count_classes(labels), waited_ms)


def count_classes(labels: Pixels) -> dict[int, int]:
    """Count the pixels of each class that a label map (H, W) has."""
    counts = Image.fromarray(labels).histogram()
    return {number: pixels for number, pixels in enumerate(counts) if pixels}
