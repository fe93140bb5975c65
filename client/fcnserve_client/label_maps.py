"""Label maps between PNG and arrays.

In: the PNG of an answer (indexed, grey, or grey+alpha with confidences), or arrays. Out: arrays, or
an image with the model's colours. Called by `fcnserve_client.segmentation`.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fcnserve_client.model import VOID, VOID_COLOUR, Model

Labels = NDArray[np.uint8]  # (H, W) class ids, or VOID
Levels = NDArray[np.uint8]  # (H, W) probability times 255


def read_png(png: bytes) -> tuple[Labels, Levels | None]:
    """Return the labels (H, W), and the confidences where the PNG has an alpha channel.

    Raises ValueError for anything but the PNG of a label map.
    """
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            mode, samples = image.mode, np.array(image)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"the label map's PNG cannot be decoded: {error}") from error
    if mode not in {"P", "L", "LA"} or samples.dtype != np.uint8:
        raise ValueError(f"a PNG of mode {mode} is no label map: that is indexed, grey, grey+alpha")
    if mode == "LA":
        return np.ascontiguousarray(samples[..., 0]), np.ascontiguousarray(samples[..., 1])
    return samples, None


def indexed_image(labels: Labels, model: Model) -> Image.Image:
    """Return an image of mode P, whose indices are the labels and whose palette is the model's."""
    colours = [*model.palette]
    if model.background_id is None:
        colours += [(0, 0, 0)] * (VOID - len(colours)) + [VOID_COLOUR]
    image = Image.fromarray(labels).convert("L")
    image.putpalette([channel for colour in colours for channel in colour])
    return image


def encoded_png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()
