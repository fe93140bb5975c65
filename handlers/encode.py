"""The last verb: one photo's scores in, its PNG out.

Runs in threads, beside the next forward pass.
"""

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from handlers.decode import Opened, Pixels
from handlers.errors import ProblemError
from handlers.forward import Forwarded
from handlers.labels import Surface
from handlers.net.geometry import Place
from handlers.png import write_grey_alpha, write_indexed


@dataclass(frozen=True, slots=True)
class Scored:
    """A photo's scores (classes, h, w), on the device; its frame's padding included."""

    scores: Tensor
    opened: Opened

    @property
    def request_id(self) -> str:
        return self.opened.request_id


@dataclass(frozen=True, slots=True)
class Mask:
    """A PNG, and how many of its pixels have which class."""

    png: bytes
    class_pixels: dict[int, int]


def scored(forwarded: Forwarded, opened: Opened) -> Scored | ProblemError:
    """Take a photo's scores together with what encoding needs to know of it."""
    scores = forwarded.scores
    return scores if isinstance(scores, ProblemError) else Scored(scores, opened)


@torch.inference_mode()
def encode(photo: Scored, palette: bytes, score_place: Place) -> Mask:
    """Make the mask, of the photo's own size: an indexed PNG.

    With confidence it is a grey+alpha PNG: label, confidence.
    """
    opened = photo.opened
    surface = Surface(photo.scores, score_place, opened.working_size, opened.size)
    labels = surface.labels()
    pixels = labels.cpu().numpy()
    if opened.job.options.output == "confidence":
        png = write_grey_alpha(pixels, surface.confidence(labels).cpu().numpy())
    else:
        png = write_indexed(pixels, palette)
    return Mask(png, count_classes(pixels))


def count_classes(labels: Pixels) -> dict[int, int]:
    """Count the pixels of each class that a label map (H, W) has."""
    counts = Image.fromarray(labels).histogram()
    return {number: pixels for number, pixels in enumerate(counts) if pixels}
