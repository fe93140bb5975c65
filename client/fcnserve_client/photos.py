"""Photos in all forms in which Python programs have them.

In: a path, bytes, a file, a Pillow image or an array. Out: the bytes that are sent, and, to draw an
overlay, their pixels. Called by both clients (`fcnserve_client.http.client`,
`fcnserve_client.http.async_client`) and by `fcnserve_client.segmentation`.
"""

import io
import os
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fcnserve_client.label_maps import encoded_png

Pixels = NDArray[np.uint8]  # (H, W, 3) RGB
Orientation = Literal["exif", "stored"]
Photo = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image | Pixels
"""A path, the bytes of an image file, a binary file, a Pillow image, or RGB pixels (H, W, 3)."""

PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})
CHANNELS = 3


def read_photo(photo: Photo) -> bytes:
    """Return the bytes to send: files as they are, pixels as a PNG, so that none is changed.

    A Pillow image is sent as its pixels are: its EXIF orientation is not applied. A PNG is several
    times larger than a JPEG of the photo: who has the file sends that. Raises OSError, TypeError
    for anything else, ValueError for an array that is no RGB of 8 bits.
    """
    if isinstance(photo, bytes | bytearray | memoryview):
        return bytes(photo)
    if isinstance(photo, str | os.PathLike):
        return Path(photo).read_bytes()
    if isinstance(photo, Image.Image):
        return encoded_png(_without_exif(photo))
    if isinstance(photo, np.ndarray):
        return encoded_png(Image.fromarray(_checked(photo)))
    content = photo.read() if hasattr(photo, "read") else None
    if not isinstance(content, bytes):
        raise TypeError(
            f"a photo is a path, bytes, a file opened with 'rb', a Pillow image or an array of RGB "
            f"(H, W, 3), not {type(photo).__name__}"
        )
    return content


def pixels_of(photo: bytes, orientation: Orientation = "exif") -> Pixels:
    """Decode a photo as the server does: rotated by its EXIF data, transparent on white.

    Raises OSError where Pillow cannot read it.
    """
    with _opened(photo) as image:
        shown = ImageOps.exif_transpose(image) if orientation == "exif" else image
        if shown.mode.startswith("I;16"):
            levels = (np.asarray(shown) >> 8).astype(np.uint8)
            return np.repeat(levels[..., None], CHANNELS, axis=2)
        if shown.has_transparency_data:
            white = Image.new("RGBA", shown.size, "white")
            shown = Image.alpha_composite(white, shown.convert("RGBA"))
        return np.array(shown.convert("RGB"))


def _opened(photo: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(photo))
    except Image.DecompressionBombError as error:  # PIL.Image.MAX_IMAGE_PIXELS raises the limit
        raise OSError(str(error)) from error


def _without_exif(image: Image.Image) -> Image.Image:
    """Copy an image into a mode that PNG has, without metadata."""
    plain = image.copy() if image.mode in PNG_MODES else image.convert("RGB")
    plain.info = {name: value for name, value in plain.info.items() if name == "transparency"}
    plain.getexif().clear()
    return plain


def _checked(pixels: Pixels) -> Pixels:
    if pixels.dtype != np.uint8 or pixels.ndim != CHANNELS or pixels.shape[2] != CHANNELS:
        raise ValueError(
            f"an array of {pixels.dtype} {pixels.shape} is no photo; one is uint8 (H, W, 3), RGB "
            "(OpenCV reads BGR: pixels[..., ::-1])"
        )
    return np.ascontiguousarray(pixels)
