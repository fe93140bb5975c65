"""Pairs of files in, photos and class numbers out, as arrays of one size.

A mask's 255 is void: neither trained on nor scored, unless `model_store.tools.dataset.survey` finds
otherwise. Called by training and evaluation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from handlers.model_config import ModelConfig, Rgb
from handlers.shared import photo
from handlers.shared.errors import ProblemError
from handlers.shared.photo import Pixels
from model_store.tools.dataset import mask_file
from model_store.tools.dataset.errors import DataError
from model_store.tools.dataset.mask_file import UNREADABLE, MaskError, MaskValues, shares
from model_store.tools.dataset.pairs import Pair

Labels = NDArray[np.uint8]  # (H, W): class numbers, and VOID

VOID = 255
FORMATS = photo.DEFAULT_FORMATS | photo.OPTIONAL_FORMATS
# so many numbers beyond the classes are shades of grey, and not classes that the model lacks
GREY_SHADES = 8


@dataclass(frozen=True, slots=True)
class Legend:
    """What a mask's numbers and colours mean: a model's classes, in their order."""

    model: str
    classes: tuple[str, ...]
    palette: tuple[Rgb, ...]
    full: int = VOID  # what 255 means in these masks
    background: int | None = None

    @classmethod
    def of(cls, config: ModelConfig) -> "Legend":
        return cls(config.name, config.classes, config.palette, background=config.background_id)


def read_pair(pair: Pair, legend: Legend) -> tuple[Pixels, Labels]:
    """Decode both, at the photo's own size and orientation; raises DataError."""
    pixels, labels = read_photo(pair.photo), read_labels(pair.mask, legend)
    check_sizes(pair, pixels.shape, labels.shape)
    return pixels, labels


def check_photos(pairs: Sequence[Pair]) -> None:
    """Read the headers of photos and masks; raises DataError for broken ones and unequal sizes.

    Damage behind the header shows only when the file is decoded.
    """
    for pair in pairs:
        body = pair.photo.read_bytes()
        try:
            header = photo.read_header(body, FORMATS)
            with Image.open(pair.mask) as mask:
                check_sizes(pair, header.size("exif"), mask.size[::-1])
        except ProblemError as error:
            raise DataError(f"{pair.photo}: {error}") from error
        except UNREADABLE as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{pair.mask} cannot be read: {error}; save it again") from error


def check_sizes(pair: Pair, of_photo: Sequence[int], of_mask: Sequence[int]) -> None:
    """Raise DataError where (height, width) differ."""
    if tuple(of_photo[:2]) != tuple(of_mask):
        raise DataError(
            f"{pair.photo} is {of_photo[1]}x{of_photo[0]} pixels and {pair.mask} "
            f"{of_mask[1]}x{of_mask[0]}; a mask has its photo's size: draw it again, or turn the "
            "photo as its EXIF says"
        )


def read_photo(file: Path) -> Pixels:
    """Decode a photo exactly as the service does: (H, W, 3); raises DataError."""
    body = file.read_bytes()
    try:
        return photo.decode(body, photo.read_header(body, FORMATS))
    except ProblemError as error:
        raise DataError(f"{file}: {error}") from error


def read_labels(file: Path, legend: Legend) -> Labels:
    """Read a mask's class numbers; raises DataError for one that the model does not have."""
    values = read_values(file, legend).values
    if legend.full == VOID:
        return values
    return np.where(values == VOID, np.uint8(legend.full), values)


def read_values(file: Path, legend: Legend) -> MaskValues:
    """Read a mask's numbers, with 255 as it is; raises DataError."""
    try:
        mask = mask_file.read(file, legend.palette, legend.model)
        check_classes(mask.values, legend)
    except MaskError as error:
        raise DataError(f"{file} {error}") from error
    return mask


def check_classes(values: Labels, legend: Legend) -> None:
    """Raise MaskError for numbers that are no class of the model."""
    classes = len(legend.classes)
    seen = np.flatnonzero(np.bincount(values.ravel()))
    beyond = seen[(seen >= classes) & (seen != VOID)]
    if not beyond.size:
        return
    raise MaskError(
        f"holds class {beyond[0]}, but {legend.model} has classes 0 to {classes - 1} and {VOID} "
        f"for void; correct the mask, {advice(len(beyond))} (seen: {shares(values)})"
    )


def advice(beyond: int) -> str:
    if beyond > GREY_SHADES:
        return (
            "whose many values are shades of grey: save each pixel as its class's number, with "
            "edges that are not smoothed, and never as JPEG in between"
        )
    return "or name as many classes (`fcnserve model new`)"
