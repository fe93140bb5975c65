"""Plans the file of each photo's answer, and reads the photos.

In: the names on the command line. Out: one `PhotoJob` a photo. The plan is checked before anything
is sent: no answer overwrites another answer or a photo, or gets the suffix of another format.
Called by `service.cli.segment` and `service.client.segment`; `service.client.write` writes.
"""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from service.client.write import is_stream, open_descriptor

OutputName = Literal["mask", "labels", "overlay", "rle", "polygons", "summary", "confidence"]

STREAM = "-"
"""The name of standard input as a photo, and of standard output as OUT."""

SUFFIXES: dict[OutputName, tuple[str, ...]] = {
    "mask": (".png",),
    "labels": (".png",),
    "overlay": (".png", ".jpg", ".jpeg"),
    "rle": (".json",),
    "polygons": (".geojson", ".json"),
    "summary": (".json",),
    "confidence": (".png",),
}
"""File suffixes by output; the first is used where the command makes the name."""

_KNOWN_SUFFIXES = frozenset(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)


class BadNamesError(Exception):
    """The photos and OUT do not match; nothing was sent."""


@dataclass(frozen=True, slots=True)
class PhotoJob:
    """One photo and the target of its answer; None is a standard stream."""

    source: Path | None
    target: Path | None

    def __str__(self) -> str:
        """Name the photo for messages."""
        return "standard input" if self.source is None else str(self.source)


def plan_jobs(photos: Sequence[str], out: str, output: OutputName) -> list[PhotoJob]:
    """Pair each photo with its target; raises BadNamesError."""
    _check_photos(photos)
    if out == STREAM or is_stream(Path(out)):
        return [_into_stream(photos, out)]
    if _is_folder(photos, out):
        _check_folder(Path(out))
        jobs = [_in_folder(photo, Path(out), SUFFIXES[output][0]) for photo in photos]
    else:
        _check_suffix(out, output)
        if not os.path.exists(out):  # noqa: PTH110 - Path's raises for a name that is too long
            _check_folder(Path(os.path.realpath(out)).parent)
        jobs = [PhotoJob(_source(photos[0]), Path(out))]
    _check_collisions(jobs)
    return jobs


def wants_jpeg(job: PhotoJob) -> bool:
    """Return whether the target's suffix asks for a JPEG; only overlays may be one."""
    return job.target is not None and job.target.suffix.lower() in {".jpg", ".jpeg"}


def read_photo(job: PhotoJob) -> bytes:
    """Read the photo's bytes."""
    if job.source is not None:
        return job.source.read_bytes()
    # unbuffered: a read that Ctrl-C abandons holds no lock for which the exit would wait
    return io.FileIO(0, closefd=False).readall()


def _check_photos(photos: Sequence[str]) -> None:
    for photo in photos:
        if os.path.isdir(photo):  # noqa: PTH112 - Path's raises OSError for a name that is too long
            raise BadNamesError(f"{photo} is a folder; name the photos in it, as in {photo}/*.jpg")


def _into_stream(photos: Sequence[str], out: str) -> PhotoJob:
    """Pair one photo with standard output, a device, a FIFO or a descriptor."""
    if len(photos) > 1:
        raise BadNamesError(f"{out} takes one answer, not {len(photos)}: name a folder")
    target = None if out == STREAM else Path(out)
    number = 1 if target is None else open_descriptor(target)
    if number is None:
        return PhotoJob(_source(photos[0]), target)
    try:
        os.fstat(number)
    except OSError as error:
        name = "standard output" if target is None else out
        raise BadNamesError(f"{name} is closed; redirect it, or name a file") from error
    return PhotoJob(_source(photos[0]), target)


def _source(photo: str) -> Path | None:
    return None if photo == STREAM else Path(photo)


def _is_folder(photos: Sequence[str], out: str) -> bool:
    """Return whether OUT is a folder; raises BadNamesError for a file and several photos."""
    if out.endswith(os.sep) or os.path.isdir(out):  # noqa: PTH112 - as above
        return True
    if len(photos) > 1 and (os.path.exists(out) or Path(out).suffix.lower() in _KNOWN_SUFFIXES):  # noqa: PTH110
        raise BadNamesError(
            f"{out} names a file, and there are {len(photos)} photos; name a folder: -o masks/"
        )
    return len(photos) > 1


def _check_folder(folder: Path) -> None:
    """Raise BadNamesError where a folder cannot be written to, or cannot be made."""
    existing = folder
    while not os.path.lexists(existing) and existing != existing.parent:
        existing = existing.parent
    if not os.path.isdir(existing):  # noqa: PTH112 - as above
        raise BadNamesError(f"{existing} is no folder, so that nothing can be put into {folder}")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise BadNamesError(f"{existing} cannot be written to; name another folder, or change it")


def _in_folder(photo: str, folder: Path, suffix: str) -> PhotoJob:
    stem = "stdin" if photo == STREAM else Path(photo).stem
    return PhotoJob(_source(photo), folder / (stem + suffix))


def _check_suffix(out: str, output: OutputName) -> None:
    allowed = SUFFIXES[output]
    suffix = Path(out).suffix
    if suffix.lower() in allowed:
        return
    stem = out.removesuffix(suffix) or output
    raise BadNamesError(
        f"{out or 'an empty name'}: {output} is written as {' or '.join(allowed)}, not "
        f"{suffix or 'without a suffix'}; name a file, -o {stem}{allowed[0]}, or a folder, "
        f"-o {stem}{os.sep}"
    )


def _check_collisions(jobs: Sequence[PhotoJob]) -> None:
    photos = {_identity(job.source): job for job in jobs if job.source}
    taken: dict[object, PhotoJob] = {}
    for job in jobs:
        if job.target is None:
            continue
        target = _identity(job.target)
        if target in photos:
            raise BadNamesError(f"the answer for {job} would overwrite the photo {photos[target]}")
        if target in taken:
            raise BadNamesError(_clash(taken[target], job))
        taken[target] = job


def _clash(one: PhotoJob, other: PhotoJob) -> str:
    if one.source == other.source:
        return f"{one} is named twice; name each photo once"
    return (
        f"the answers for {one} and {other} would both be {other.target}; "
        "send them in two calls with two folders"
    )


def _identity(file: Path) -> object:
    """Give one value for all names of a file: links, hard links, and spellings of its path."""
    try:
        found = file.stat()
    except OSError:
        return os.path.realpath(file)
    return found.st_dev, found.st_ino
