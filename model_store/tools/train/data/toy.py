"""A data set to try training with, drawn by numbers: discs among squares, on blurred noise.

What tells the classes apart is the outline, not the colour; no photo, so nobody's rights.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from PIL import Image

from handlers.shared.photo import Pixels
from model_store.tools.dataset.labelled import IMAGES, MASKS, DataError, Labels

CLASSES = ("background", "disc")
SIZE = (192, 256)  # (height, width)
# radii, in pixels
SMALLEST, LARGEST = 16, 48
SHAPES = 4


def draw(data: Path, photos: int = 40, seed: int = 0) -> None:
    """Write `photos` photos and masks into a folder that is not there; raises DataError."""
    if data.exists():
        raise DataError(f"{data} is there already; name a folder that is not")
    for folder in (IMAGES, MASKS):
        (data / folder).mkdir(parents=True)
    random = np.random.default_rng(seed)
    for place in range(photos):
        pixels, labels = scene(random)
        Image.fromarray(pixels).save(data / IMAGES / f"toy{place:03}.jpg", quality=90)
        mask = Image.fromarray(labels).convert("P")
        mask.putpalette((0, 0, 0, 255, 255, 0))
        mask.save(data / MASKS / f"toy{place:03}.png")


def scene(random: Generator) -> tuple[Pixels, Labels]:
    """Draw squares and discs of any colour, some over others: (H, W, 3) and (H, W)."""
    height, width = SIZE
    noise = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    pixels = np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    labels = np.zeros(SIZE, np.uint8)
    for is_disc in random.permutation(np.arange(SHAPES) % len(CLASSES)):
        radius = int(random.integers(SMALLEST, LARGEST))
        row, column = int(random.integers(height)), int(random.integers(width))
        colour = random.integers(0, 256, 3).tolist()
        for canvas, ink in ((pixels, colour), (labels, int(is_disc))):
            if is_disc:
                cv2.circle(canvas, (column, row), radius, ink, cv2.FILLED)
            else:
                corners = (column - radius, row - radius), (column + radius, row + radius)
                cv2.rectangle(canvas, *corners, ink, cv2.FILLED)
    return pixels, labels
