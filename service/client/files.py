"""Plans the file of each photo's answer, and reads the photos.

In: the names on the command line. Out: a `Plan` with one `PhotoJob` a photo. It is checked before
anything is sent: no answer overwrites another answer or a photo, or gets the suffix of another
format. Called by `service.cli.segment`, `service.client.dataset_plan` and `service.client.segment`;
`service.client.write` writes.
"""

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from service.client.naming import BadNamesError, named_answers
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


@dataclass(frozen=True, slots=True)
class PhotoJob:
    """The paths of one photo and of its answer; None is a standard stream.

    No `Path`s, which take three times the memory: a run may have 100,000 photos.
    """

    source: str | None
    target: str | None

    def __str__(self) -> str:
        """Name the photo for messages."""
        return "standard input" if self.source is None else self.source


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, and the folder of the answers, where that is OUT."""

    jobs: Sequence[PhotoJob]
    folder: Path | None = None


def plan_jobs(photos: Sequence[str], out: str, output: OutputName) -> Plan:
    """Pair each photo with its target; raises BadNamesError."""
    if out == STREAM or is_stream(Path(out)):
        return Plan([_into_stream(photos, out)])
    if _is_folder(photos, out):
        return plan_folder(photos, out, SUFFIXES[output][0])
    _check_suffix(out, output)
    if not os.path.exists(out):
        _check_folder(Path(os.path.realpath(out)).parent)
    jobs = [PhotoJob(_source(photos[0]), out)]
    _check_collisions(jobs)
    return Plan(jobs)


def plan_folder(
    photos: Sequence[str], out: str, suffix: str, path_of: Callable[[str], str] | None = None
) -> Plan:
    """Pair each photo with a target below a folder; raises BadNamesError.

    `path_of` gives the path below the folder of an answer's name without its suffix.
    """
    _check_folder(Path(out))
    named = named_answers(photos, out, suffix)
    if path_of is not None:
        named = ((photo, path_of(name.removesuffix(suffix))) for photo, name in named)
    jobs = [PhotoJob(_source(photo), os.path.join(out, name)) for photo, name in named]
    _check_collisions(jobs)
    return Plan(jobs, Path(out))


def wants_jpeg(job: PhotoJob) -> bool:
    """Return whether the target's suffix asks for a JPEG; only overlays may be one."""
    return job.target is not None and job.target.lower().endswith((".jpg", ".jpeg"))


def read_photo(job: PhotoJob) -> bytes:
    """Read the photo's bytes."""
    if job.source is not None:
        return Path(job.source).read_bytes()
    # unbuffered: a read that Ctrl-C abandons holds no lock for which the exit would wait
    return io.FileIO(0, closefd=False).readall()


def _into_stream(photos: Sequence[str], out: str) -> PhotoJob:
    """Pair one photo with standard output, a device, a FIFO or a descriptor."""
    if len(photos) > 1 or _holds_photos(photos):
        many = len(photos) if len(photos) > 1 else "those of a folder"
        raise BadNamesError(f"{out} takes one answer, not {many}: name a folder")
    target = None if out == STREAM else out
    number = 1 if target is None else open_descriptor(Path(target))
    if number is None:
        return PhotoJob(_source(photos[0]), target)
    try:
        os.fstat(number)
    except OSError as error:
        name = "standard output" if target is None else out
        raise BadNamesError(f"{name} is closed; redirect it, or name a file") from error
    return PhotoJob(_source(photos[0]), target)


def _source(photo: str) -> str | None:
    return None if photo == STREAM else photo


def _holds_photos(photos: Sequence[str]) -> bool:
    return any(map(os.path.isdir, photos))


def _is_folder(photos: Sequence[str], out: str) -> bool:
    """Return whether OUT is a folder; raises BadNamesError for a file and several photos."""
    if out.endswith(os.sep) or os.path.isdir(out):
        return True
    several = len(photos) > 1 or _holds_photos(photos)
    if several and (os.path.exists(out) or Path(out).suffix.lower() in _KNOWN_SUFFIXES):
        many = f"there are {len(photos)} photos" if len(photos) > 1 else f"{photos[0]} is a folder"
        raise BadNamesError(f"{out} names a file, and {many}; name a folder: -o masks/")
    return several


def _check_folder(folder: Path) -> None:
    """Raise BadNamesError where a folder cannot be written to, or cannot be made."""
    existing = folder
    while not os.path.lexists(existing) and existing != existing.parent:
        existing = existing.parent
    if not os.path.isdir(existing):
        raise BadNamesError(f"{existing} is no folder, so that nothing can be put into {folder}")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise BadNamesError(f"{existing} cannot be written to; name another folder, or change it")


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
    identity = _Identities()
    photos = {identity(job.source) for job in jobs if job.source is not None}
    taken: set[object] = set()
    for job in jobs:
        if job.target is None:
            continue
        target = identity(job.target)
        if target in photos:
            photo = next(each for each in jobs if each.source and identity(each.source) == target)
            raise BadNamesError(f"the answer for {job} would overwrite the photo {photo}")
        if target in taken:
            earlier = next(each for each in jobs if each.target and identity(each.target) == target)
            raise BadNamesError(_clash(earlier, job))
        taken.add(target)


def _clash(one: PhotoJob, other: PhotoJob) -> str:
    if one.source == other.source:
        return f"{one} is named twice; name each photo once"
    return (
        f"the answers for {one} and {other} would both be {other.target}; "
        "name a folder that holds both, or send them in two calls with two folders"
    )


class _Identities:
    """Gives one value for all names of a file: links, hard links, and spellings of its path."""

    def __init__(self) -> None:
        self._real_folder: Callable[[str], str] = lru_cache(1)(os.path.realpath)

    def __call__(self, file: str) -> object:
        try:
            found = os.stat(file)
        except OSError:
            if os.path.islink(file):
                return os.path.realpath(file)
            folder, name = os.path.split(file)
            return os.path.join(self._real_folder(folder), name)
        return found.st_dev, found.st_ino
