"""Decides which file each photo's answer goes to, reads the photos, and writes the answers.

In: the names on the command line. Out: one `Job` a photo, checked as a whole before anything is
sent: no answer overwrites another answer, or a photo. Called by `service/client.py`.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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
    many = len(photos) > 1
    if out == STREAM and many:
        raise BadNamesError(f"one stream holds one answer, not {len(photos)}: name a folder")
    if out == STREAM:
        return [Job(_source(photos[0]), None)]
    if many or out.endswith(os.sep) or Path(out).is_dir():
        jobs = [_in_folder(photo, Path(out), SUFFIXES[output][0]) for photo in photos]
    else:
        _check_suffix(Path(out), output)
        jobs = [Job(_source(photos[0]), Path(out))]
    _check_collisions(jobs)
    return jobs


def wants_jpeg(job: Job) -> bool:
    """Whether the answer's file name asks for a JPEG, which overlays may be."""
    return job.target is not None and job.target.suffix.lower() in {".jpg", ".jpeg"}


def read_photo(job: Job) -> bytes:
    """The photo's bytes as they are."""
    return sys.stdin.buffer.read() if job.source is None else job.source.read_bytes()


def write_answer(job: Job, body: bytes) -> None:
    """Write the answer, a file whole or not at all."""
    if job.target is None:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
        return
    job.target.parent.mkdir(parents=True, exist_ok=True)
    if job.target.exists() and not job.target.is_file():  # a device or a pipe: nothing to replace
        job.target.write_bytes(body)
        return
    draft = job.target.with_name(f".{job.target.name}.{os.getpid()}.part")
    try:
        draft.write_bytes(body)
        draft.replace(job.target)
    finally:
        draft.unlink(missing_ok=True)


def _source(photo: str) -> Path | None:
    return None if photo == STREAM else Path(photo)


def _in_folder(photo: str, folder: Path, suffix: str) -> Job:
    if folder.exists() and not folder.is_dir():
        raise BadNamesError(f"{folder} is a file; several answers need a folder")
    stem = "stdin" if photo == STREAM else Path(photo).stem
    return Job(_source(photo), folder / (stem + suffix))


def _check_suffix(out: Path, output: OutputName) -> None:
    allowed = SUFFIXES[output]
    suffix = out.suffix.lower()
    if suffix in _KNOWN_SUFFIXES and suffix not in allowed:
        raise BadNamesError(f"{out}: {output} is written as {' or '.join(allowed)}, not {suffix}")


def _check_collisions(jobs: Sequence[Job]) -> None:
    photos = {job.source.resolve(): job for job in jobs if job.source}
    taken: dict[Path, Job] = {}
    for job in jobs:
        target = job.target.resolve() if job.target else Path()
        if target in photos:
            raise BadNamesError(f"the answer for {job} would overwrite the photo {photos[target]}")
        if target in taken:
            raise BadNamesError(
                f"the answers for {taken[target]} and {job} would both be {job.target}; "
                "send them in two calls with two folders"
            )
        taken[target] = job
