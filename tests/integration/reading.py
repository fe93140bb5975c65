"""Reads the service's answers with Pillow: PNG bytes in, (H, W) arrays out."""

import io
import json

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Labels = NDArray[np.uint8]


def opened(png: bytes, mode: str) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    assert (image.format, image.mode) == ("PNG", mode)
    return image


def indices(mask: bytes) -> Labels:
    """Return the class ids of an indexed PNG."""
    return np.asarray(opened(mask, "P"))


def palette(mask: bytes) -> list[list[int]]:
    """Return the colours of an indexed PNG, one [red, green, blue] per class."""
    channels = opened(mask, "P").getpalette()
    assert channels is not None
    return [channels[at : at + 3] for at in range(0, len(channels), 3)]


def grey(png: bytes) -> Labels:
    return np.asarray(opened(png, "L"))


def grey_alpha(png: bytes) -> tuple[Labels, Labels]:
    planes = np.asarray(opened(png, "LA"))
    return planes[..., 0], planes[..., 1]


def size_of(png: bytes) -> tuple[int, int]:
    """Height and width."""
    width, height = Image.open(io.BytesIO(png)).size
    return height, width


def problem(body: bytes) -> dict[str, object]:
    """Return the members of a problem document; its detail has to be one line of ASCII."""
    found: dict[str, object] = json.loads(body)
    detail = found["detail"]
    assert isinstance(detail, str)
    assert detail.isascii()
    assert "\n" not in detail
    return found
