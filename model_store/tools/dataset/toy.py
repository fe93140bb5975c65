"""A drawn data set, to try training with: discs among squares, on blurred noise.

Classes differ by outline, not by colour. No photo is used, so no rights are held. Called by
`fcnserve model toy`.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from PIL import Image

from handlers.shared.photo import Pixels
from model_store.tools.dataset.errors import DataError
from model_store.tools.dataset.labelled import Labels
from model_store.tools.dataset.pairs import IMAGES, MASKS

CLASSES = ("background", "disc")
SIZE = (192, 256)  # (height, width)
MIN_RADIUS, MAX_RADIUS = 16, 48  # pixels
SHAPES = 4


def draw_data_set(data: Path, photos: int = 40, seed: int = 0) -> None:
    """Write `photos` photos and masks into `data`, which must not exist; raises DataError."""
    if data.exists():
        raise DataError(f"{data} is there already; name a folder that is not")
    for folder in (IMAGES, MASKS):
        (data / folder).mkdir(parents=True)
    random = np.random.default_rng(seed)
    for number in range(photos):
        pixels, labels = scene(random)
        Image.fromarray(pixels).save(data / IMAGES / f"toy{number:03}.jpg", quality=90)
        mask = Image.fromarray(labels).convert("P")
        mask.putpalette((0, 0, 0, 255, 255, 0))
        mask.save(data / MASKS / f"toy{number:03}.png")


def scene(random: Generator) -> tuple[Pixels, Labels]:
    """Draw squares and discs of any colour, some over others: (H, W, 3) and (H, W)."""
    height, width = SIZE
    noise = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    pixels = np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    labels = np.zeros(SIZE, np.uint8)
    for is_disc in random.permutation(np.arange(SHAPES) % len(CLASSES)):
        radius = int(random.integers(MIN_RADIUS, MAX_RADIUS))
        row, column = int(random.integers(height)), int(random.integers(width))
        colour = random.integers(0, 256, 3).tolist()
        for canvas, value in ((pixels, colour), (labels, int(is_disc))):
            if is_disc:
                cv2.circle(canvas, (column, row), radius, value, cv2.FILLED)
            else:
                corners = (column - radius, row - radius), (column + radius, row + radius)
                cv2.rectangle(canvas, *corners, value, cv2.FILLED)
    return pixels, labels
