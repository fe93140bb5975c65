"""A data set's folder in, pairs of a photo's file and its mask's file out.

    DATA/images/NAME.jpg   any format that the service takes
    DATA/masks/NAME.png    class numbers: a palette or grey PNG; or RGB, in the model's colours;
                           or black and white (0 and 255), where there are two classes
    DATA/train.txt         names, one a line; likewise val.txt

Called by `model_store.tools.train.data.split` and `model_store.tools.dataset.held_out`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model_store.tools.dataset.errors import DataError

IMAGES, MASKS = "images", "masks"
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif")
# names that a message shows
SHOWN_NAMES = 5


@dataclass(frozen=True, slots=True)
class Pair:
    """A photo's file and its mask's."""

    name: str
    photo: Path
    mask: Path


def find_pairs(data: Path, names: Sequence[str] | None = None) -> list[Pair]:
    """Pair up the photos and masks of `names`, or of the whole folder; raises DataError."""
    photos, masks = files_by_name(data / IMAGES, PHOTO_SUFFIXES), files_by_name(data / MASKS)
    requested = sorted(photos.keys() | masks.keys()) if names is None else list(names)
    for kind, files in ((IMAGES, photos), (MASKS, masks)):
        missing = [name for name in requested if name not in files]
        if missing:
            raise DataError(
                f"{data / kind} has nothing for {len(missing)} of {len(requested)} names "
                f"({shorten(missing)}); each photo needs a mask of the same name: add the files, "
                "or list the names to use (without their suffixes) in train.txt and val.txt"
            )
    return [Pair(name, photos[name], masks[name]) for name in requested]


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
    """Read a list of names, one a line, each once; raises DataError."""
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read: {error}; name a list, one name a line") from error
    names = dict.fromkeys(name for line in lines if (name := line.strip()))
    if not names:
        raise DataError(f"{file} is empty; list the names of photos in it, one a line")
    return list(names)


def shorten(names: Sequence[str]) -> str:
    more = "" if len(names) <= SHOWN_NAMES else ", ..."
    return ", ".join(names[:SHOWN_NAMES]) + more
