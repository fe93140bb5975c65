"""The colours of an overlay, made from a mask's palette: bright, and each unlike the others.

PASCAL VOC's palette is made for files: a cat's (64, 0, 0) is nearly black, and differs from a
chair's (192, 0, 0) and an aeroplane's (128, 0, 0) in brightness alone. Here each class gets, of all
bright colours that are far enough from those of the classes before it, the one nearest to its own
hue. A palette comes in, a palette goes out. Called by `service.render.overlay` and for the model
card.
"""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# candidate values of a channel: 17^3 colours
LEVELS = np.linspace(0, 255, 17).round().astype(np.uint8)
# the bounds of bright and colourful, in CIELAB
LEAST_LIGHTNESS, MOST_LIGHTNESS, LEAST_CHROMA = 60, 92, 45
# the distance of two classes in CIELAB at first, and its factor once no colour is left at it
DISTANCE, DISTANCE_FACTOR = 36.0, 0.9
# degrees of hue that outweigh one unit of chroma in CIELAB
DEGREES_PER_CHROMA = 0.5


@lru_cache(maxsize=32)
def overlay_palette(palette: bytes, background: int | None) -> bytes:
    """Return RGB triples by class id; the background keeps its own."""
    colours = np.frombuffer(palette, np.uint8).reshape(-1, 3).copy()
    bright, lab = _bright()
    hues, chroma = _hues(bright), _chroma(lab)
    nearest = np.full(len(bright), np.inf, np.float32)  # distance to the nearest chosen colour
    least_distance = DISTANCE
    for class_id, hue in enumerate(_hues(colours)):
        if class_id == background:
            continue
        while not (free := nearest >= least_distance).any():
            least_distance *= DISTANCE_FACTOR
        hue_difference = np.abs((hues - hue + 180) % 360 - 180)
        penalty = np.where(free, hue_difference - DEGREES_PER_CHROMA * chroma, np.inf)
        chosen = int(penalty.argmin())
        colours[class_id] = bright[chosen]
        nearest = np.minimum(nearest, np.linalg.norm(lab - lab[chosen], axis=1))
    return colours.tobytes()


def _bright() -> tuple[NDArray[np.uint8], Floats]:
    """Return all candidates, (N, 3) in RGB and in CIELAB."""
    rgb = np.stack(np.meshgrid(LEVELS, LEVELS, LEVELS, indexing="ij"), -1).reshape(-1, 3)
    lab = _converted(rgb, cv2.COLOR_RGB2Lab)
    chosen = (lab[:, 0] >= LEAST_LIGHTNESS) & (lab[:, 0] <= MOST_LIGHTNESS)
    chosen &= _chroma(lab) >= LEAST_CHROMA
    return rgb[chosen], lab[chosen]


def _hues(rgb: NDArray[np.uint8]) -> Floats:
    """Return hues in degrees, (N,); greys have that of red."""
    return np.asarray(_converted(rgb, cv2.COLOR_RGB2HSV)[:, 0], np.float32)


def _chroma(lab: Floats) -> Floats:
    return np.asarray(np.hypot(lab[:, 1], lab[:, 2]), np.float32)


def _converted(rgb: NDArray[np.uint8], code: int) -> Floats:
    scaled = rgb.astype(np.float32).reshape(1, -1, 3) / 255
    return np.asarray(cv2.cvtColor(scaled, code)[0], np.float32)
