"""The photo with its classes painted over it."""

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from handlers.photo import DEFAULT_FORMATS, OPTIONAL_FORMATS, Orientation, decode, read_header
from handlers.png import write_rgb
from service.render.types import LabelMap, Legend, Rendered

JPEG_QUALITY = 90


def overlay(
    labels: LabelMap,
    photo: bytes,
    orientation: Orientation,
    legend: Legend,
    *,
    alpha: float,
    jpeg: bool,
) -> Rendered:
    """Paint the photo and encode it; ValueError if photo and label map differ in size."""
    # The gateway has admitted the photo already, by its own list of formats.
    header = read_header(photo, DEFAULT_FORMATS | OPTIONAL_FORMATS)
    painted = paint(decode(photo, header, orientation), labels, legend.palette, alpha)
    if jpeg:
        return Rendered(simplejpeg.encode_jpeg(painted, quality=JPEG_QUALITY), "image/jpeg")
    return Rendered(write_rgb(painted), "image/png")


def paint(
    pixels: NDArray[np.uint8], labels: LabelMap, palette: bytes, alpha: float
) -> NDArray[np.uint8]:
    """Blend each pixel (H, W, 3) with its class's colour; background stays as it was."""
    if pixels.shape[:2] != labels.shape:
        raise ValueError(f"the photo is {pixels.shape[:2]}, its label map {labels.shape}")
    colours = cv2.LUT(cv2.merge([labels] * 3), _lookup(palette))
    blended = cv2.addWeighted(colours, alpha, pixels, 1 - alpha, 0)
    return cv2.copyTo(blended, labels, pixels.copy()).astype(np.uint8, copy=False)


def _lookup(palette: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(palette.ljust(768, b"\0"), np.uint8).reshape(1, 256, 3)
