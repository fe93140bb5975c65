"""The last verb: one photo's scores in, its PNG out.

Runs in threads, beside the next forward pass.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from handlers.decode import Opened
from handlers.errors import ProblemError
from handlers.forward import Forwarded
from handlers.labels import Surface
from handlers.png import write_grey_alpha, write_indexed


@dataclass(frozen=True, slots=True)
class Scored:
    """A photo's scores (classes, h, w) of stride 8, on the device; its frame's padding included."""

    scores: Tensor
    opened: Opened


def scored(forwarded: Forwarded, opened: Opened) -> Scored | ProblemError:
    """Take a photo's scores together with what encoding needs to know of it."""
    scores = forwarded.scores
    return scores if isinstance(scores, ProblemError) else Scored(scores, opened)


@torch.inference_mode()
def encode(photo: Scored, palette: bytes, score_origin: float) -> bytes:
    """Make the mask, of the photo's own size: an indexed PNG.

    With confidence it is a grey+alpha PNG: label, confidence.
    """
    opened = photo.opened
    surface = Surface(photo.scores, score_origin, opened.working_size, opened.size)
    labels = surface.labels()
    pixels = labels.cpu().numpy()
    if opened.job.options.output == "confidence":
        return write_grey_alpha(pixels, surface.confidence(labels).cpu().numpy())
    return write_indexed(pixels, palette)
