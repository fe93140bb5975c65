"""Converts any Pillow image to RGB as viewers show it: transparent on white, deep grey as 8 bits.

Called by the reader of each format.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from handlers.shared.photo.header import Pixels

WHITE = 255


def as_shown(image: Image.Image) -> Pixels:
    """Return (H, W, 3) RGB of a loaded image of any mode.

    CMYK becomes RGB by Pillow's formula (its JPEG reader has undone Adobe's inversion), and 16-bit
    colours have lost their low byte in Pillow's PNG reader already.
    """
    if image.mode.startswith("I;16"):
        return grey(_high_byte(image))
    if image.mode in ("I", "F"):
        return grey(_stretched(np.asarray(image)))
    if image.has_transparency_data:
        return _on_white(image)
    return np.asarray(image.convert("RGB"))


def _on_white(image: Image.Image) -> Pixels:
    white = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"))


def _high_byte(image: Image.Image) -> NDArray[np.uint8]:
    values = np.asarray(image)  # (H, W), in the file's byte order, as its dtype
    grey = (values >> 8).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = WHITE
    return grey


def _stretched(values: NDArray[np.int32] | NDArray[np.float32]) -> NDArray[np.uint8]:
    """Map the least value to black and the greatest to white; a flat image is black.

    32-bit samples carry no range of values, and scientific viewers do the same.
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size or finite.min() == finite.max():
        return np.zeros(values.shape, np.uint8)
    low, high = finite.min(), finite.max()
    with np.errstate(invalid="ignore"):  # casting a signalling NaN raises it
        known = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low)
    shown: NDArray[np.float64] = np.rint((known - low) * (WHITE / (high - low)))
    return shown.astype(np.uint8)


def grey(levels: NDArray[np.uint8]) -> Pixels:
    return np.repeat(levels[..., None], 3, axis=2)  # (H, W, 3)
