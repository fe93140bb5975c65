"""Memory for a group's photos: their sizes in; arrays that decoders fill, and that a GPU reads in
one copy, out.

Page-locked memory is what a GPU copies from while the processor goes on. There is a bounded amount
of it for a batch of images; photos beyond it are decoded into arrays of their own, and laid out
when it is their group's turn. Used by `handlers.runtime.network_cuda`; `handlers.pipeline` has
photos decoded into it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from handlers.shared.frame import Frame, Size
from handlers.shared.photo import Pixels

# of one batch of images; torch keeps what it has page-locked for the next, in powers of two
PINNED_BYTES = 128 << 20
CHANNELS = 3


class CanvasShape(NamedTuple):
    """The canvas of a group, and the sizes (height, width) of its photos."""

    canvas: Frame
    sizes: Sequence[Size]

    @property
    def bytes(self) -> int:
        return len(self.sizes) * self.canvas.pixels * CHANNELS


class CanvasBatch(list[Pixels]):
    """Photos (h, w, 3), each in the top-left corner of its canvas; around them the memory is not
    initialised.
    """

    def __init__(self, shape: CanvasShape, *, pinned: bool) -> None:
        """Allocate it; raises RuntimeError where there is no memory."""
        size = (len(shape.sizes), *shape.canvas, CHANNELS)
        self.pixels = torch.empty(size, dtype=torch.uint8, pin_memory=pinned)
        corners = zip(self.pixels.numpy(), shape.sizes, strict=True)
        super().__init__(corner[:height, :width] for corner, (height, width) in corners)


def canvas_batches(shapes: Sequence[CanvasShape], *, pinned: bool) -> list[CanvasBatch | None]:
    """Allocate memory for the groups of a batch of images, up to the bound; None for those beyond,
    and where there is none.
    """
    batches: list[CanvasBatch | None] = []
    left = PINNED_BYTES
    for shape in shapes:
        batch = None
        if shape.bytes <= left:
            batch = allocated(shape, pinned=pinned)
            left -= shape.bytes
        batches.append(batch)
    return batches


def allocated(shape: CanvasShape, *, pinned: bool) -> CanvasBatch | None:
    try:
        return CanvasBatch(shape, pinned=pinned)
    except RuntimeError:  # a lost device, too: the pass will tell
        return None
