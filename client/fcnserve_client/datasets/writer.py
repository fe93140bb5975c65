"""What the writers of all formats have in common: where files lie, and when each is written.

In: a model, then photos with their results, in any order and from several threads. Out: a folder.
Base of the writers in `fcnserve_client.datasets`.

Each photo's files are written by `add`: the photo, then what the format has of it, of which the
last file says that the photo is complete. Only `finish` writes what is about all photos, by reading
those files one after the other: memory does not grow with the dataset, and its order is that of the
names, whatever the order of `add` was.
"""

import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from os import PathLike
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import ClassVar, Self

import numpy as np
from PIL import Image

from fcnserve_client.datasets.files import write_file
from fcnserve_client.model import VOID, Model
from fcnserve_client.segmentation import MissingPartError, Segmentation

KEPT = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif")
CHANGED = {".jpe": ".jpg", ".jfif": ".jpg", ".mpo": ".jpg", ".apng": ".png", ".avifs": ".avif"}
SUFFIXES = dict(zip(KEPT, KEPT, strict=True)) | CHANGED
"""The suffixes of photos in a dataset by their own: rare ones are unknown to other programs."""

FULL = 255
"""The level of the probability 1."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A photo in a dataset: its name without a suffix, and its file below the photos' folder."""

    stem: str
    photo: str


class DatasetWriter(ABC):
    """Writes a dataset into a folder, which may have one already: files of the same names are
    replaced.

    Used in a `with` block, which calls `begin`, and `finish` unless there was an error. Pixels
    whose class is less probable than `min_confidence` (0 to 1) become void: they belong to no
    class.
    """

    last: ClassVar[tuple[str, str]]
    """Folder and suffix of a photo's last file."""
    photos: ClassVar[tuple[str, str]] = ("images", "")
    """Folder of the photos, and what follows a photo's name before its suffix."""
    is_flat: ClassVar[bool] = False
    """Whether all photos lie in one folder: a/1.jpg becomes a__1.jpg."""
    needs_confidence: ClassVar[bool] = False
    """Whether the format has a place for confidences."""

    def __init__(
        self, folder: str | PathLike[str], model: Model, *, min_confidence: float = 0.0
    ) -> None:
        self.folder, self.model = Path(folder), model
        self._least = ceil(min_confidence * FULL)
        self._names: list[str] = []

    def __enter__(self) -> Self:
        """Call `begin`."""
        self.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Call `finish`, unless there was an error."""
        if kind is None:
            self.finish()

    def begin(self) -> None:
        """Make the folder, and write the tables of the classes; raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_classes()

    def add(self, name: str, seg: Segmentation) -> None:
        """Write a photo's files. `name` is its path in the dataset, such as `a/cat.jpg`.

        Raises ValueError for a name that is no path below a folder and for another model's result,
        MissingPartError for a result without its photo or without the confidences that are needed,
        and OSError.
        """
        if seg.model.classes != self.model.classes:
            raise ValueError(f"the dataset is of {self.model.tag}, the result of {seg.model.tag}")
        if seg.photo is None:
            raise MissingPartError("this result was made without its photo; give photo=")
        certain, stem = self._certain(seg), self._placed(_stem(name))
        folder, ending = self.photos
        entry = Entry(stem, f"{stem}{ending}{photo_suffix(name, seg.photo)}")
        write_file(self.folder / folder / entry.photo, seg.photo)
        self._write(entry, certain)
        self._names.append(stem)

    def finish(self, names: Sequence[str] | None = None) -> None:
        """Write what is about all photos; raises OSError.

        `names` are those of photos without their suffixes, in the order that the dataset is to
        have; unless given, those that were added.
        """
        self._write_all(self._names if names is None else [self._placed(each) for each in names])

    @classmethod
    def path_of(cls, name: str) -> str:
        """Return the path, below the folder, of a photo's last file; `name` has no suffix."""
        folder, suffix = cls.last
        return f"{folder}/{cls._placed(name)}{suffix}"

    @abstractmethod
    def _write(self, entry: Entry, seg: Segmentation) -> None:
        """Write what the format has of a photo, the file of `path_of` last."""

    def _write_classes(self) -> None:  # noqa: B027 - not all formats have tables of their own
        """Write the tables of the classes."""

    def _write_all(self, stems: Sequence[str]) -> None:  # noqa: B027 - not all formats have that
        """Write what is about all photos."""

    def _last_file(self, stem: str) -> Path:
        folder, suffix = self.last
        return self.folder / folder / f"{stem}{suffix}"

    @classmethod
    def _placed(cls, name: str) -> str:
        return name.replace("/", "__") if cls.is_flat else name

    def _certain(self, seg: Segmentation) -> Segmentation:
        if not self._least:
            return seg
        if seg.levels is None:
            raise MissingPartError("this result has no confidences; ask with confidence=True")
        labels = np.where(seg.levels < self._least, np.uint8(VOID), seg.labels)
        return replace(seg, labels=labels)


def photo_suffix(name: str, photo: bytes) -> str:
    """Return the suffix of a photo's name where it is known, else that of its format, or .jpg."""
    suffix = PurePosixPath(name).suffix
    known = SUFFIXES.get(suffix.lower())
    if known:
        return suffix if known == suffix.lower() else known
    try:
        with Image.open(io.BytesIO(photo)) as image:
            found = f".{image.format}".lower()
    except OSError:
        return ".jpg"
    return SUFFIXES.get(found, ".jpg") if found != ".jpeg" else ".jpg"


def _stem(name: str) -> str:
    """Return a photo's name without the suffix of a photo."""
    path = PurePosixPath(name)
    if not path.name or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{name!r} is no name of a photo in a dataset, such as 'a/cat.jpg'")
    return str(path.with_suffix("") if path.suffix.lower() in SUFFIXES else path)
