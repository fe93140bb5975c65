"""Decides which file each photo's answer goes to, and reads the photos.

In: the names on the command line. Out: one `Job` a photo, checked as a whole before anything is
sent: no answer overwrites another answer, or a photo, or is named as what it is not. Called by
`service/cli/segment.py`; `service/client/write.py` writes.
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
"""Names standard input as a photo, and standard output as OUT."""

SUFFIXES: dict[OutputName, tuple[str, ...]] = {
    "mask": (".png",),
    "labels": (".png",),
    "overlay": (".png", ".jpg", ".jpeg"),
    "rle": (".json",),
    "polygons": (".geojson", ".json"),
    "summary": (".json",),
    "confidence": (".png",),
}
"""File name endings by output; the first is used where the command makes the name."""

_KNOWN_SUFFIXES = frozenset(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)


class BadNamesError(Exception):
    """The photos and OUT cannot go together; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Job:
    """One photo and where its answer goes; None is a standard stream."""

    source: Path | None
    target: Path | None

    def __str__(self) -> str:
        """The photo, as messages name it."""
        return "standard input" if self.source is None else str(self.source)


def plan_jobs(photos: Sequence[str], out: str, output: OutputName) -> list[Job]:
    """Pair each photo with its file. Raises BadNamesError."""
    _check_photos(photos)
    if out == STREAM or is_stream(Path(out)):
        return [_into_stream(photos, out)]
    if _means_folder(photos, out):
        _check_folder(Path(out))
        jobs = [_in_folder(photo, Path(out), SUFFIXES[output][0]) for photo in photos]
    else:
        _check_suffix(out, output)
        if not os.path.exists(out):  # noqa: PTH110 - Path's raises for a name that is too long
            _check_folder(Path(os.path.realpath(out)).parent)
        jobs = [Job(_source(photos[0]), Path(out))]
    _check_collisions(jobs)
    return jobs


def wants_jpeg(job: Job) -> bool:
    """Whether the answer's file name asks for a JPEG, which overlays may be."""
    return job.target is not None and job.target.suffix.lower() in {".jpg", ".jpeg"}


def read_photo(job: Job) -> bytes:
    """The photo's bytes as they are."""
    if job.source is not None:
        return job.source.read_bytes()
    # unbuffered: a read that Ctrl-C leaves behind holds no lock that the exit would wait for
    return io.FileIO(0, closefd=False).readall()


def _check_photos(photos: Sequence[str]) -> None:
    for photo in photos:
        if os.path.isdir(photo):  # noqa: PTH112 - Path's raises OSError for a name that is too long
            raise BadNamesError(f"{photo} is a folder; name the photos in it, as in {photo}/*.jpg")


def _into_stream(photos: Sequence[str], out: str) -> Job:
    """Pair one photo with standard output, a device, a FIFO or a descriptor."""
    if len(photos) > 1:
        raise BadNamesError(f"{out} takes one answer, not {len(photos)}: name a folder")
    target = None if out == STREAM else Path(out)
    number = 1 if target is None else open_descriptor(target)
    if number is None:
        return Job(_source(photos[0]), target)
    try:
        os.fstat(number)
    except OSError as error:
        named = "standard output" if target is None else out
        raise BadNamesError(f"{named} is closed; redirect it, or name a file") from error
    return Job(_source(photos[0]), target)


def _source(photo: str) -> Path | None:
    return None if photo == STREAM else Path(photo)


def _means_folder(photos: Sequence[str], out: str) -> bool:
    """Whether answers get names of their own in OUT; raises BadNamesError where it is a file."""
    if out.endswith(os.sep) or os.path.isdir(out):  # noqa: PTH112 - as above
        return True
    if len(photos) > 1 and (os.path.exists(out) or Path(out).suffix.lower() in _KNOWN_SUFFIXES):  # noqa: PTH110
        raise BadNamesError(
            f"{out} names a file, and there are {len(photos)} photos; name a folder: -o masks/"
        )
    return len(photos) > 1


def _check_folder(folder: Path) -> None:
    """Raise BadNamesError where answers could not be put into a folder, or it not be made."""
    there = folder
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if not os.path.isdir(there):  # noqa: PTH112 - as above
        raise BadNamesError(f"{there} is no folder, so that nothing can be put into {folder}")
    if not os.access(there, os.W_OK | os.X_OK):
        raise BadNamesError(f"{there} cannot be written to; name another folder, or change it")


def _in_folder(photo: str, folder: Path, suffix: str) -> Job:
    stem = "stdin" if photo == STREAM else Path(photo).stem
    return Job(_source(photo), folder / (stem + suffix))


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


def _check_collisions(jobs: Sequence[Job]) -> None:
    photos = {_identity(job.source): job for job in jobs if job.source}
    taken: dict[object, Job] = {}
    for job in jobs:
        if job.target is None:
            continue
        target = _identity(job.target)
        if target in photos:
            raise BadNamesError(f"the answer for {job} would overwrite the photo {photos[target]}")
        if target in taken:
            raise BadNamesError(_clash(taken[target], job))
        taken[target] = job


def _clash(one: Job, other: Job) -> str:
    if one.source == other.source:
        return f"{one} is named twice; name each photo once"
    return (
        f"the answers for {one} and {other} would both be {other.target}; "
        "send them in two calls with two folders"
    )


def _identity(file: Path) -> object:
    """What two names of one file share: links, hard links, and ways to write a path."""
    try:
        found = file.stat()
    except OSError:
        return os.path.realpath(file)
    return found.st_dev, found.st_ino
