"""The photos that the arguments name, folders recursively, and the name of each one's answer.

In: the arguments PHOTO and the folder OUT. Out: pairs of a photo's path and a path below OUT.
Called by `service.client.files`.

An answer has its photo's name with another suffix, and below a folder the photo's path there:
`photos/a/1.jpg` becomes `a/1.png`. Where another photo's answer could have that name (`1.jpg`
beside `1.png`), the photo's own suffix stays: `1.jpg.png`, `1.png.png`. Among several arguments, a
folder's own name is kept: `one/1.png`, `two/1.png`.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

PHOTO_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp"}
    | {".tif", ".tiff", ".gif", ".avif", ".avifs"}
)
"""Suffixes of the files that are photos in a folder; a photo that is named may have any."""

STDIN_NAME = "stdin"


class BadNamesError(Exception):
    """The photos and OUT do not match; nothing was sent."""


def named_answers(photos: Sequence[str], out: str, suffix: str) -> Iterator[tuple[str, str]]:
    """Yield each photo, and its answer's path below OUT; raises BadNamesError."""
    found = [each for photo in photos for each in _found(photo, out, alone=len(photos) == 1)]
    uses = Counter(chain.from_iterable({*_names(name, suffix)} for _, name in found))
    for photo, name in found:
        short, long = _names(name, suffix)
        yield photo, long if uses[short] > 1 else short


def _names(name: str, suffix: str) -> tuple[str, str]:
    """Give the short name of a photo's answer, and the one that no other suffix leads to."""
    return os.path.splitext(name)[0] + suffix, name + suffix


def _found(photo: str, out: str, *, alone: bool) -> Iterator[tuple[str, str]]:
    """Yield the photos of one argument, with their paths below its folder."""
    if not os.path.isdir(photo):
        yield photo, STDIN_NAME if photo == "-" else os.path.basename(photo)
        return
    _check_apart(photo, out)
    kept = "" if alone else os.path.basename(os.path.realpath(photo))
    paths = list(_below(photo, "", os.path.realpath(out)))
    if not paths:
        raise BadNamesError(f"{photo} holds no photos; they end in {_listed_suffixes()}")
    for path in paths:
        yield os.path.join(photo, path), os.path.join(kept, path)


def _below(folder: str, prefix: str, out: str) -> Iterator[str]:
    """Yield the paths of photos below a folder, by name.

    Hidden files, the folder OUT and links to folders are left out.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise BadNamesError(f"{error.filename}: {error.strerror}") from error
    for entry in entries:
        path = os.path.join(prefix, entry.name)
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            if os.path.realpath(entry.path) != out:
                yield from _below(entry.path, path, out)
        elif os.path.splitext(entry.name)[1].lower() in PHOTO_SUFFIXES and entry.is_file():
            yield path


def _check_apart(photos: str, out: str) -> None:
    """Raise BadNamesError where answers would lie among the photos, as photos of the next run."""
    if os.path.realpath(photos) == os.path.realpath(out):
        raise BadNamesError(f"{out} is the folder of the photos; name another, as in -o masks/")


def _listed_suffixes() -> str:
    return " ".join(sorted(PHOTO_SUFFIXES))
