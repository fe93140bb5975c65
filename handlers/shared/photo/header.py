"""The types that the readers of all formats share: header, orientation, pixels."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Orientation = Literal["exif", "stored"]
Pixels = NDArray[np.uint8]
"""(H, W, 3) RGB."""

FIRST_TURNED_BY_A_QUARTER = 5
"""EXIF orientations 5 to 8 swap height and width."""

MAX_SIDE = 65_500
"""Pixels, of any format: what is read can be written again, and libjpeg writes no longer sides
(JPEG_MAX_DIMENSION), the least of all writers. The next are OpenCV's reader and libpng's
(1,000,000), and the network's coordinates."""


@dataclass(frozen=True, slots=True)
class Header:
    """A photo's metadata: size as stored, and EXIF orientation.

    `scans`: how many times its decoder walks over all pixels; more than one for some JPEGs only.
    `work`: how much more a pixel costs than is usual in the format, by its coding.
    `is_cmyk`: the colours of a JPEG are four, for printing.
    """

    format: str
    height: int
    width: int
    exif: int
    scans: int = 1
    work: float = 1.0
    is_cmyk: bool = False

    def size(self, orientation: Orientation) -> tuple[int, int]:
        """Return (height, width) of the pixels that `decode` gives for this orientation."""
        if orientation == "exif" and self.exif >= FIRST_TURNED_BY_A_QUARTER:
            return self.width, self.height
        return self.height, self.width
