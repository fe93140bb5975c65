"""The input and output types of a rendering, shared by every output and by `service.pipeline`."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from handlers.shared.photo import Orientation

LabelMap = NDArray[np.uint8]  # (H, W) class ids, or VOID

# the label of a filtered pixel where a model has no background: PASCAL VOC's number and colour for
# pixels of no class (a model has at most 255 classes, numbered from 0)
VOID = 255
VOID_COLOUR = bytes((224, 224, 192))


class Output(StrEnum):
    """The representations that a client can request."""

    mask = "mask"
    labels = "labels"
    overlay = "overlay"
    rle = "rle"
    polygons = "polygons"
    summary = "summary"
    confidence = "confidence"


@dataclass(frozen=True)
class Legend:
    """The model's classes: their names by id, their colours as RGB triples, and the id of the
    background (the class of all that is none of the others), if there is one.
    """

    class_names: tuple[str, ...]
    palette: bytes
    background: int | None

    @property
    def filtered(self) -> int:
        """The label of pixels whose class a filter removed."""
        return VOID if self.background is None else self.background

    @property
    def mask_palette(self) -> bytes:
        """The colours of an indexed PNG that may hold filtered pixels."""
        if self.background is not None:
            return self.palette
        return self.palette.ljust(3 * VOID, b"\0") + VOID_COLOUR

    def name(self, class_id: int) -> str:
        """Return the class's name; its number where the model's card has no such class."""
        is_known = class_id < len(self.class_names)
        return self.class_names[class_id] if is_known else str(class_id)


@dataclass(frozen=True)
class RenderOptions:
    """The request's options for rendering.

    `classes` None keeps all; `min_area` counts pixels, and 0 or 1 keeps all; `alpha` is the
    overlay's opacity from 0 to 1; `orientation` is the one that the worker has; `accept_jpeg` makes
    an overlay a JPEG; `legend` draws the names of the painted classes into an overlay.
    """

    output: Output = Output.mask
    classes: frozenset[int] | None = None
    min_area: int = 0
    alpha: float = 0.5
    orientation: Orientation = "exif"
    accept_jpeg: bool = False
    legend: bool = False

    @property
    def filters(self) -> bool:
        """Whether a filter may change any pixel."""
        return self.classes is not None or self.min_area > 1


@dataclass(frozen=True)
class Rendered:
    """The body of a response and its media type."""

    body: bytes
    media_type: str
