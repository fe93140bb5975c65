"""The types that the readers of all formats share."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Orientation = Literal["exif", "stored"]
Pixels = NDArray[np.uint8]
"""(H, W, 3) RGB."""

FIRST_TURNED_BY_A_QUARTER = 5
"""EXIF orientations 5 to 8 swap height and width."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a photo says about itself: size as stored, and how it wants to be turned (EXIF)."""

    format: str
    height: int
    width: int
    exif: int

    def size(self, orientation: Orientation) -> tuple[int, int]:
        """Return (height, width) of the pixels that `decode` gives for this orientation."""
        if orientation == "exif" and self.exif >= FIRST_TURNED_BY_A_QUARTER:
            return self.width, self.height
        return self.height, self.width
