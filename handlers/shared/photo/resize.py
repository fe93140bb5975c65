"""The working size of a photo: large photos are reduced before the network.

Exported by `handlers.shared.photo`; the gateway predicts frames with it.
"""

import numpy as np
from PIL import Image

from handlers.shared.photo.header import Pixels


def fit(height: int, width: int, max_side: int) -> tuple[int, int]:
    """Return the largest (height, width) of the same shape whose sides are at most `max_side`.

    Unchanged when it fits. Rounded half up, in integers, so that every machine agrees.
    """
    longest = max(height, width)
    if longest <= max_side:
        return height, width
    return _scaled(height, max_side, longest), _scaled(width, max_side, longest)


def reduce(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize (H, W, 3) pixels to `size` (height, width); the same array when it has that size.

    Pillow's bilinear filter widens with the scale, so that fine texture does not alias.
    """
    height, width = size
    if pixels.shape[:2] == (height, width):
        return pixels
    resized = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def _scaled(side: int, max_side: int, longest: int) -> int:
    return max(1, (2 * side * max_side + longest) // (2 * longest))
