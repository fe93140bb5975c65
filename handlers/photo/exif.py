"""EXIF orientation: reading it, turning pixels by it, and turning them back.

What counts as an orientation is what Pillow's `ImageOps.exif_transpose` obeys: the EXIF tag, else
`tiff:Orientation` in XMP. Metadata never make a photo unreadable: whatever is wrong with them
counts as orientation 1.
"""

from collections.abc import Mapping

import numpy as np
from PIL import ExifTags, Image

from handlers.photo.foreign import DECODER_ERRORS
from handlers.photo.header import FIRST_TURNED_BY_A_QUARTER, Pixels

UPRIGHT = 1
_ORIENTATIONS = range(1, 9)
# Orientation -> (rows reversed, columns reversed), after the transposition that 5 to 8 begin with.
_FLIPS = {
    1: (False, False),
    2: (False, True),
    3: (True, True),
    4: (True, False),
    5: (False, False),
    6: (False, True),
    7: (True, True),
    8: (True, False),
}
_INVERSE = {6: 8, 8: 6}


def orientation_of(image: Image.Image) -> int:
    """Return the orientation (1 to 8) of an opened image; no pixel is decoded."""
    try:
        # The base class's method: PngImageFile's own would decode the pixels first.
        value = Image.Image.getexif(image).get(ExifTags.Base.Orientation, UPRIGHT)
        return int(value) if value in _ORIENTATIONS else UPRIGHT
    except DECODER_ERRORS:
        return UPRIGHT


def orientation_in(info: Mapping[str, bytes]) -> int:
    """Return the orientation that the raw `exif` and `xmp` blocks of a file ask for."""
    if not info:
        return UPRIGHT
    carrier = Image.Image()
    carrier.info.update(info)
    return orientation_of(carrier)


def turn(pixels: Pixels, orientation: int) -> Pixels:
    """Return (H, W, 3) pixels as `orientation` wants them shown, C-contiguous."""
    if orientation == UPRIGHT:
        return pixels
    # Whole pixels of three bytes are moved: 1.8 times as fast as byte by byte.
    grid = pixels.view("V3")[..., 0]  # (H, W)
    if orientation >= FIRST_TURNED_BY_A_QUARTER:
        grid = grid.T  # (W, H)
    rows, columns = _FLIPS[orientation]
    grid = grid[:: -1 if rows else 1, :: -1 if columns else 1]
    return np.ascontiguousarray(grid).view(np.uint8).reshape(*grid.shape, 3)


def turn_back(pixels: Pixels, orientation: int) -> Pixels:
    """Undo `turn`."""
    return turn(pixels, _INVERSE.get(orientation, orientation))
