"""Labelled photos and a predictor in, the confusion counts of each photo out.

Called by `model_store.tools.evaluate.run` and by the validation of a training.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import simplejpeg
from PIL import Image

from handlers.shared.photo import Pixels
from model_store.tools.dataset.labelled import (
    Labels,
    Legend,
    check_sizes,
    read_labels,
    read_photo,
)
from model_store.tools.dataset.pairs import Pair
from model_store.tools.evaluate.confusion import Counts, confusion
from model_store.tools.evaluate.predict import Predictor

# JPEG quality of enlarged photos: high enough not to change any mask
QUALITY = 95


def count(
    pairs: Sequence[Pair], legend: Legend, predictor: Predictor, times: int = 1
) -> Iterator[tuple[Labels, Labels, Counts]]:
    """Give each photo's true labels, predicted labels and their confusion.

    With `times` above one, photos and masks are enlarged, so that a photo of a few hundred pixels
    represents one from a phone, which is reduced to the working size. Raises DataError.
    """
    predicted = predictor(encoded(pair, times) for pair in pairs)
    for pair, labels in zip(pairs, predicted, strict=True):
        truth = enlarged(read_labels(pair.mask, legend), times)
        check_sizes(pair, labels.shape, truth.shape)
        yield truth, labels, confusion(truth, labels, len(legend.classes))


def encoded(pair: Pair, times: int) -> bytes:
    """Read a photo's file as it is, or enlarge it and save it as JPEG."""
    pixels = read_photo(pair.photo)  # raises DataError, which names the file
    if times == 1:
        return pair.photo.read_bytes()
    return jpeg(pixels, times)


def jpeg(pixels: Pixels, times: int) -> bytes:
    height, width = pixels.shape[:2]
    large = Image.fromarray(pixels).resize(
        (width * times, height * times), Image.Resampling.BICUBIC
    )
    body: bytes = simplejpeg.encode_jpeg(np.asarray(large), QUALITY, colorsubsampling="444")
    return body


def enlarged(labels: Labels, times: int) -> Labels:
    return labels.repeat(times, 0).repeat(times, 1)
