"""A folder of photos and masks in, pairs of (photo, labels) out; `train` and `evaluate` read it.

    DATA/images/NAME.jpg   any format that the service takes
    DATA/masks/NAME.png    class numbers: a palette or grey PNG; or RGB, in the model's colours
    DATA/train.txt         names, one a line; likewise val.txt

A mask's 255 is void: neither learned nor scored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from handlers import photo
from handlers.errors import ProblemError
from handlers.model_config import ModelConfig, Rgb
from handlers.photo import Pixels

Labels = NDArray[np.uint8]  # (H, W): class numbers, and VOID

VOID = 255
IMAGES, MASKS = "images", "masks"
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif")
FORMATS = photo.DEFAULT_FORMATS | photo.OPTIONAL_FORMATS
# the colour of void in PASCAL VOC's masks
VOID_COLOUR = (224, 224, 192)
# as many names are told in a message
SHOWN_NAMES = 5


class DataError(ValueError):
    """Photos and masks that cannot be learned from; says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Legend:
    """What a mask's numbers and colours mean: a model's classes, in their order."""

    model: str
    classes: tuple[str, ...]
    palette: tuple[Rgb, ...]

    @classmethod
    def of(cls, config: ModelConfig) -> "Legend":
        return cls(config.name, config.classes, config.palette)


@dataclass(frozen=True, slots=True)
class Pair:
    """A photo's file and its mask's."""

    name: str
    photo: Path
    mask: Path


def find_pairs(data: Path, names: Sequence[str] | None = None) -> list[Pair]:
    """Pair up the photos and masks of `names`, or of the whole folder; raises DataError."""
    photos, masks = files_by_name(data / IMAGES, PHOTO_SUFFIXES), files_by_name(data / MASKS)
    wanted = sorted(photos.keys() | masks.keys()) if names is None else list(names)
    for kind, files in ((IMAGES, photos), (MASKS, masks)):
        missing = [name for name in wanted if name not in files]
        if missing:
            raise DataError(
                f"{data / kind} has nothing for {len(missing)} of {len(wanted)} names "
                f"({shorten(missing)}); each photo needs a mask of the same name: add the files, "
                "or list the names to use in train.txt and val.txt"
            )
    return [Pair(name, photos[name], masks[name]) for name in wanted]


def files_by_name(folder: Path, suffixes: Sequence[str] = (".png",)) -> Mapping[str, Path]:
    """Map names without suffix to files; raises DataError where there are none."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    found = {file.stem: file for file in files if file.suffix.lower() in suffixes}
    if not found:
        raise DataError(
            f"{folder} holds no {suffixes[0]} file; put photos into {IMAGES}/ and masks (PNG) of "
            f"the same names into {MASKS}/"
        )
    return found


def read_names(file: Path) -> list[str]:
    """Read a list of names, one a line; raises DataError."""
    try:
        names = file.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read: {error}; name a list, one name a line") from error
    if not names:
        raise DataError(f"{file} is empty; list the names of photos in it, one a line")
    return names


def read_pair(pair: Pair, legend: Legend) -> tuple[Pixels, Labels]:
    """Decode both, at the photo's own size as a viewer shows it; raises DataError."""
    pixels, labels = read_photo(pair.photo), read_labels(pair.mask, legend)
    check_sizes(pair, pixels.shape, labels.shape)
    return pixels, labels


def check_sizes(pair: Pair, of_photo: Sequence[int], of_mask: Sequence[int]) -> None:
    """Raise DataError where (height, width) differ."""
    if tuple(of_photo[:2]) != tuple(of_mask):
        raise DataError(
            f"{pair.photo} is {of_photo[1]}x{of_photo[0]} pixels and {pair.mask} "
            f"{of_mask[1]}x{of_mask[0]}; a mask has its photo's size: draw it again, or turn the "
            "photo as its EXIF says"
        )


def read_photo(file: Path) -> Pixels:
    """Decode a photo exactly as the service does: (H, W, 3)."""
    body = file.read_bytes()
    try:
        return photo.decode(body, photo.read_header(body, FORMATS))
    except ProblemError as error:
        raise DataError(f"{file}: {error}") from error


def read_labels(file: Path, legend: Legend) -> Labels:
    """Read a mask's class numbers; raises DataError for one that the model does not have."""
    try:
        with Image.open(file) as image:
            grey = image.mode in {"P", "L", "1"} or image.mode.startswith("I")
            values = np.asarray(image if grey else image.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise DataError(f"{file} cannot be read: {error}; save the mask again as PNG") from error
    labels = values if grey else labels_of_colours(file, values, legend)
    beyond = np.unique(labels[(labels >= len(legend.classes)) & (labels != VOID)])
    if beyond.size:
        raise DataError(
            f"{file} holds class {beyond[0]}, but {legend.model} has classes 0 to "
            f"{len(legend.classes) - 1} and {VOID} for void; correct the mask, or add the class to "
            "model.yaml"
        )
    return labels.astype(np.uint8)


def labels_of_colours(file: Path, colours: Pixels, legend: Legend) -> Labels:
    """Look an RGB mask's colours up in the model's palette."""
    numbers = {colour: place for place, colour in enumerate(legend.palette)}
    numbers.setdefault(VOID_COLOUR, VOID)
    flat, places = np.unique(colours.reshape(-1, 3), axis=0, return_inverse=True)
    unknown = [tuple(map(int, each)) for each in flat if tuple(map(int, each)) not in numbers]
    if unknown:
        raise DataError(
            f"{file} is an RGB mask with the colour {unknown[0]}, which is not in the palette of "
            f"{legend.model}; save class numbers as a palette or grey PNG, or add the colour"
        )
    table = np.array([numbers[each[0], each[1], each[2]] for each in flat.tolist()], np.uint8)
    return table[places.reshape(colours.shape[:2])]


def shorten(names: Sequence[str]) -> str:
    more = "" if len(names) <= SHOWN_NAMES else ", ..."
    return ", ".join(names[:SHOWN_NAMES]) + more
