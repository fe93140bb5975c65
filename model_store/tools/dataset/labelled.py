"""A folder of photos and masks in, pairs of (photo, labels) out; `train` and `evaluate` read it.

    DATA/images/NAME.jpg   any format that the service takes
    DATA/masks/NAME.png    class numbers: a palette or grey PNG; or RGB, in the model's colours;
                           or black and white (0 and 255), where there are two classes
    DATA/train.txt         names, one a line; likewise val.txt

A mask's 255 is void: neither learned nor scored, unless `model_store.tools.dataset.survey` finds
otherwise.
"""

from collections.abc import Mapping, Sequence
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
from model_store.tools.dataset.mask_file import UNREADABLE, MaskError, Written, shares

Labels = NDArray[np.uint8]  # (H, W): class numbers, and VOID

VOID = 255
IMAGES, MASKS = "images", "masks"
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif")
FORMATS = photo.DEFAULT_FORMATS | photo.OPTIONAL_FORMATS
# more numbers beyond the classes are no classes that somebody forgot
SHADES = 8
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
    full: int = VOID  # what 255 means in these masks
    background: int | None = None

    @classmethod
    def of(cls, config: ModelConfig) -> "Legend":
        return cls(config.name, config.classes, config.palette, background=config.background_id)


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
                "or list the names to use (without their suffixes) in train.txt and val.txt"
            )
    return [Pair(name, photos[name], masks[name]) for name in wanted]


def files_by_name(folder: Path, suffixes: Sequence[str] = (".png",)) -> Mapping[str, Path]:
    """Map names without suffix to files; raises DataError where there are none."""
    for needed in (folder.parent, folder):
        if not needed.is_dir():
            raise DataError(
                f"there is no folder {needed}; a data set is a folder with photos in {IMAGES}/ and "
                f"masks (PNG) of the same names in {MASKS}/"
            )
    files = sorted(folder.iterdir())
    found: dict[str, Path] = {}
    for file in files:
        if file.suffix.lower() in suffixes and (other := found.setdefault(file.stem, file)) != file:
            raise DataError(f"{other} and {file} have one name; remove or rename one of them")
    if not found:
        others = sorted({file.suffix for file in files if file.suffix})
        seen = f" ({len(files)} files: {shorten(others)})" if others else ""
        raise DataError(
            f"{folder} holds no {suffixes[0]} file{seen}; put photos into {IMAGES}/ and masks "
            f"(PNG) of the same names into {MASKS}/"
        )
    return found


def read_names(file: Path) -> list[str]:
    """Read a list of names, one a line; raises DataError."""
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read: {error}; name a list, one name a line") from error
    names = dict.fromkeys(name for line in lines if (name := line.strip()))  # each once
    if not names:
        raise DataError(f"{file} is empty; list the names of photos in it, one a line")
    return list(names)


def read_pair(pair: Pair, legend: Legend) -> tuple[Pixels, Labels]:
    """Decode both, at the photo's own size as a viewer shows it; raises DataError."""
    pixels, labels = read_photo(pair.photo), read_labels(pair.mask, legend)
    check_sizes(pair, pixels.shape, labels.shape)
    return pixels, labels


def check_photos(pairs: Sequence[Pair]) -> None:
    """Read the headers of photos and masks; raises DataError for what is none, or of another size.

    What is broken behind its header is found once it is decoded.
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
    """Decode a photo exactly as the service does: (H, W, 3)."""
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


def read_values(file: Path, legend: Legend) -> Written:
    """Read a mask's numbers, whatever 255 means; raises DataError."""
    try:
        written = mask_file.read(file, legend.palette, legend.model)
        check_known(written.values, legend)
    except MaskError as error:
        raise DataError(f"{file} {error}") from error
    return written


def check_known(values: Labels, legend: Legend) -> None:
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
    if beyond > SHADES:
        return (
            "whose many values are shades of grey: save each pixel as its class's number, with "
            "edges that are not smoothed, and never as JPEG in between"
        )
    return "or name as many classes (`fcnserve model new`)"


def shorten(names: Sequence[str]) -> str:
    more = "" if len(names) <= SHOWN_NAMES else ", ..."
    return ", ".join(names[:SHOWN_NAMES]) + more
