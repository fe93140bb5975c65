"""What goes into a rendering and what comes out; shared by every output."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from handlers.photo import Orientation

LabelMap = NDArray[np.uint8]  # (H, W) class ids, 0 is background


class Output(StrEnum):
    """The representations that a client can ask for."""

    mask = "mask"
    labels = "labels"
    overlay = "overlay"
    rle = "rle"
    polygons = "polygons"
    summary = "summary"
    confidence = "confidence"


@dataclass(frozen=True)
class Legend:
    """The model's classes: their names by id, and their colours as RGB triples."""

    class_names: tuple[str, ...]
    palette: bytes


@dataclass(frozen=True)
class RenderOptions:
    """What the request asked for.

    `classes` None keeps all; `min_area` counts pixels, and 0 or 1 keeps all; `alpha` is the
    overlay's opacity from 0 to 1; `orientation` is the one that the worker was given.
    """

    output: Output = Output.mask
    classes: frozenset[int] | None = None
    min_area: int = 0
    alpha: float = 0.5
    orientation: Orientation = "exif"
    accept_jpeg: bool = False

    @property
    def filters(self) -> bool:
        """Whether any pixel may lose its class."""
        return self.classes is not None or self.min_area > 1


@dataclass(frozen=True)
class Rendered:
    """The body of an answer and its media type."""

    body: bytes
    media_type: str
