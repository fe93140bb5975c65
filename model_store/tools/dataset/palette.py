"""Class names in, distinct colours out, the same ones every time.

Each next colour is the farthest from all earlier ones in CIELAB, where distances are about those
that a viewer perceives. Called by `model_store.tools.create.create`, and by
`model_store.tools.check.check` to find similar colours.
"""

from collections.abc import Sequence
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = tuple[int, int, int]
Lab = NDArray[np.float32]

BACKGROUND: Rgb = (0, 0, 0)
# the colour of void in training masks, and white, on which an overlay's colours get lost
AVOIDED: tuple[Rgb, ...] = ((224, 224, 192), (255, 255, 255))
# values of each channel: 17^3 candidate colours
LEVELS = np.linspace(0, 255, 17).round().astype(np.uint8)
# the closest two of VOC's 21 are 8.7 apart; below about 2.3 no difference is visible
CLOSE = 5.0


def class_colours(classes: Sequence[str], background: str | None) -> tuple[Rgb, ...]:
    """Choose a colour for each class; only the background is black."""
    colours = iter(distinct_colours(len(classes) + (background is None))[1:])
    return tuple(BACKGROUND if name == background else next(colours) for name in classes)


def distinct_colours(count: int) -> tuple[Rgb, ...]:
    """Choose `count` colours, the background's black first."""
    candidates = np.stack(np.meshgrid(LEVELS, LEVELS, LEVELS, indexing="ij"), -1).reshape(-1, 3)
    lab = to_lab(candidates)
    distance = np.min([distances(lab, to_lab([each])[0]) for each in (BACKGROUND, *AVOIDED)], 0)
    chosen = [BACKGROUND]
    while len(chosen) < count:
        farthest = int(distance.argmax())
        red, green, blue = candidates[farthest].tolist()
        chosen.append((red, green, blue))
        distance = np.minimum(distance, distances(lab, lab[farthest]))
    return tuple(chosen)


def similar_pairs(colours: Sequence[Rgb]) -> list[tuple[int, int]]:
    """Find the pairs, by index, of colours that a viewer can hardly tell apart."""
    lab = to_lab(colours)
    return [
        (one, other)
        for one, other in combinations(range(len(colours)), 2)
        if np.linalg.norm(lab[one] - lab[other]) < CLOSE
    ]


def to_lab(colours: Sequence[Rgb] | NDArray[np.uint8]) -> Lab:
    """Convert sRGB, (N, 3), to CIELAB."""
    rgb = np.asarray(colours, np.float32).reshape(1, -1, 3) / 255
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab)[0], np.float32)


def distances(lab: Lab, one: Lab) -> Lab:
    return np.asarray(np.linalg.norm(lab - one, axis=1), np.float32)
