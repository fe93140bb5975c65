"""A photo in, a square example out: scaled, cut, mirrored and tinted at random.

A photo smaller than the square is padded as in serving: zeros at the bottom and right after
normalisation, void in the mask. Called by `model_store.tools.train.examples`.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from handlers.shared.photo import Pixels
from model_store.tools.dataset.labelled import VOID, Labels

Values = NDArray[np.float32]

# brightness, contrast and saturation change by up to this part; hue by degrees of the colour circle
TINT = 0.3
HUE_DEGREES = 8.0
# one side may grow this much more than the other
STRETCH = 1.1
# of the ITU-R BT.601 luma
LUMA = np.array((0.299, 0.587, 0.114), np.float32)


@dataclass(frozen=True, slots=True)
class Example:
    """A crop's pixels (h, w, 3), 0 to 255, and labels (h, w): at most the square."""

    pixels: Values
    labels: Labels


def crop(
    random: Generator, pixels: Pixels, labels: Labels, side: int, scales: tuple[float, float]
) -> Example:
    """Cut a window, and scale it to at most `side` pixels a side; `scales` are (least, most)."""
    scale = float(np.exp(random.uniform(*np.log(scales))))
    stretch = float(np.exp(random.uniform(-1, 1) * np.log(STRETCH) / 2))
    window = tuple(
        one_axis(random, length, side, factor)
        for length, factor in zip(labels.shape, (scale * stretch, scale / stretch), strict=True)
    )
    (rows, height), (columns, width) = window
    cut, cut_labels = pixels[rows, columns], labels[rows, columns]
    filtering = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    cut = np.asarray(cv2.resize(cut, (width, height), interpolation=filtering), np.uint8)
    nearest = cv2.INTER_NEAREST_EXACT
    cut_labels = np.asarray(
        cv2.resize(cut_labels, (width, height), interpolation=nearest), np.uint8
    )
    if random.integers(2):
        cut, cut_labels = cut[:, ::-1], cut_labels[:, ::-1]
    return Example(tint(random, cut), np.ascontiguousarray(cut_labels))


def one_axis(random: Generator, length: int, side: int, factor: float) -> tuple[slice, int]:
    """Choose what to cut of an axis of `length`, and its length after scaling."""
    part = min(length, max(1, round(side / factor)))
    start = int(random.integers(0, length - part + 1))
    return slice(start, start + part), min(side, max(1, round(part * factor)))


def tint(random: Generator, pixels: Pixels) -> Values:
    """Change brightness, contrast, saturation and hue a little: (h, w, 3) float32."""
    brightness, contrast, saturation = random.uniform(1 - TINT, 1 + TINT, 3)
    grey = np.outer(np.ones(3, np.float32), LUMA)  # takes each pixel to its luma
    rotation = hue_rotation(np.deg2rad(random.uniform(-1, 1) * HUE_DEGREES))
    mix = brightness * contrast * (saturation * rotation + (1 - saturation) * grey)
    values = np.asarray(cv2.transform(pixels.astype(np.float32), mix), np.float32)
    values += (1 - contrast) * brightness * float(pixels.mean())
    return values.clip(0, 255, out=values)


def hue_rotation(angle: float) -> NDArray[np.float64]:
    """Give the rotation of colours around the grey axis: (3, 3); greys stay."""
    cosine, sine = np.cos(angle), np.sin(angle) / np.sqrt(3)
    cross = np.array(((0, -1, 1), (1, 0, -1), (-1, 1, 0)))
    rotation: NDArray[np.float64] = cosine * np.eye(3) + (1 - cosine) / 3 + sine * cross
    return rotation


def pad_to_square(example: Example, side: int, mean: Values, std: Values) -> tuple[Values, Labels]:
    """Normalise, and pad to the square: (side, side, 3) and (side, side)."""
    height, width = example.labels.shape
    square = np.zeros((side, side, 3), np.float32)
    square[:height, :width] = (example.pixels - mean) / std
    labels = np.full((side, side), VOID, np.uint8)
    labels[:height, :width] = example.labels
    return square, labels
