"""The frame of a photo: the canvas that the network sees of it.

The gateway plans its queue with frames (`service.backend.queue`), the worker its forward passes
(`handlers.stages.plan`).
"""

from typing import NamedTuple, Self

# the network's coarsest stride: the sides of a frame are multiples of it
FRAME_STRIDE = 32

Size = tuple[int, int]  # (height, width)


class Frame(NamedTuple):
    """A canvas in pixels: the smallest one for a photo, or one that several share."""

    height: int
    width: int

    @classmethod
    def of(cls, size: Size, stride: int = FRAME_STRIDE) -> Self:
        """Round (height, width) up to multiples of `stride`."""
        return cls(*(-(-side // stride) * stride for side in size))

    @property
    def pixels(self) -> int:
        return self.height * self.width

    def padding_beside(self, other: "Frame") -> int:
        """Count the pixels that two photos leave empty on a canvas that holds either."""
        canvas = max(self.height, other.height) * max(self.width, other.width)
        return 2 * canvas - self.pixels - other.pixels
