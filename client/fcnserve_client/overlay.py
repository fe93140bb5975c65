"""The photo with its classes painted over it, as the server draws it.

In: pixels, labels, colours. Out: pixels. Called by `fcnserve_client.segmentation`. Drawn here, an
overlay costs no further request and can be drawn again with other classes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fcnserve_client.label_maps import Labels
from fcnserve_client.model import Rgb
from fcnserve_client.photos import Pixels

# as in the server: one pixel of outline for so many of the side of a square of the photo's area
SIDE_PER_OUTLINE = 400
# an outline's opacity, in that of the colours
OUTLINE_OPACITY = 2.0


def paint(
    pixels: Pixels, labels: Labels, palette: Sequence[Rgb], shown: Sequence[int], alpha: float
) -> Pixels:
    """Blend the pixels (H, W, 3) of the shown classes with their colours, and outline regions.

    Raises ValueError unless photo and label map have one size.
    """
    if pixels.shape[:2] != labels.shape:
        raise ValueError(f"the photo is {pixels.shape[:2]}, its label map {labels.shape}")
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = palette
    inside = np.isin(labels, shown)
    outlines = inside & _edges(labels)
    painted = pixels.copy()
    for chosen, opacity in ((inside, alpha), (outlines, min(OUTLINE_OPACITY * alpha, 1))):
        painted[chosen] = _blended(pixels[chosen], table[labels[chosen]], opacity)
    return painted


def _blended(pixels: Pixels, colours: Pixels, alpha: float) -> Pixels:
    mixed = colours * np.float32(alpha) + pixels * np.float32(1 - alpha)
    return np.rint(mixed).astype(np.uint8)


def _edges(labels: Labels) -> NDArray[np.bool_]:
    """Return (H, W), true where another label of the photo is near."""
    width = max(1, round(float(labels.size) ** 0.5 / SIDE_PER_OUTLINE))
    greatest, least = labels, labels
    for axis in (0, 1):
        greatest = _nearby(greatest, width, axis, np.maximum)
        least = _nearby(least, width, axis, np.minimum)
    edges: NDArray[np.bool_] = greatest != least
    return edges


def _nearby(labels: Labels, width: int, axis: int, choose: np.ufunc) -> Labels:
    """Return the greatest (or least) label within `width` pixels on either side.

    A window is doubled until it has the length, hence few passes over the photo.
    """
    padding = [(0, 0), (0, 0)]
    padding[axis] = (width, width)
    windows = np.moveaxis(np.pad(labels, padding, mode="edge"), axis, 0)
    length, needed = 1, 2 * width + 1
    while length < needed:
        step = min(length, needed - length)
        windows = choose(windows[:-step], windows[step:])
        length += step
    return np.moveaxis(windows, 0, axis)
