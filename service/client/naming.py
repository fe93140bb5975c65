"""The photos that the arguments name, folders recursively, and the name of each one's answer.

In: the arguments PHOTO and the folder OUT. Out: pairs of a photo's path and a path below OUT.
Called by `service.client.files`.

An answer has its photo's name with another suffix, and below a folder the photo's path there:
`photos/a/1.jpg` becomes `a/1.png`. Where another photo's answer could have that name (`1.jpg`
beside `1.png`), the photo's own suffix stays: `1.jpg.png`, `1.png.png`. Among several arguments, a
folder's own name is kept: `one/1.png`, `two/1.png`.
"""

import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

from service.client.done import answers_in

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
    paths = list(_below(photo, os.path.realpath(out)))
    if not paths:
        raise BadNamesError(f"{photo} holds no photos; they end in {_listed_suffixes()}")
    for path in paths:
        yield os.path.join(photo, path), os.path.join(kept, path)


def _below(top: str, out: str) -> Iterator[str]:
    """Yield the paths of photos below a folder: its own by name, then those of its folders.

    Hidden files, the folder OUT, links to folders, and answers of other runs are left out.
    """
    waiting, answers = [""], dict[str, int]()
    while waiting:
        prefix, folders = waiting.pop(), []
        folder = os.path.join(top, prefix)
        answers |= {os.path.join(prefix, each): size for each, size in answers_in(folder).items()}
        for entry in _entries(folder):
            path = os.path.join(prefix, entry.name)
            if not entry.is_dir(follow_symlinks=False):
                if _is_photo(entry, answers.get(path)):
                    yield path
            elif os.path.realpath(entry.path) != out:
                folders.append(path)
        waiting += reversed(folders)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """List what is not hidden, by name; raises BadNamesError."""
    try:
        with os.scandir(folder) as entries:
            shown = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise BadNamesError(f"{error.filename}: {error.strerror}") from error
    return sorted(shown, key=lambda entry: entry.name)


def _is_photo(entry: os.DirEntry[str], answer_bytes: int | None) -> bool:
    """Return whether a file's suffix is a photo's, and it is no answer, which has its size.

    A link that leads nowhere, or to itself, is taken: reading it fails, and says which it is.
    """
    if os.path.splitext(entry.name)[1].lower() not in PHOTO_SUFFIXES:
        return False
    try:
        found = entry.stat()
    except OSError:
        return True
    return stat.S_ISREG(found.st_mode) and found.st_size != answer_bytes


def _check_apart(photos: str, out: str) -> None:
    """Raise BadNamesError where answers would lie among the photos, as photos of the next run."""
    if os.path.realpath(photos) == os.path.realpath(out):
        raise BadNamesError(f"{out} is the folder of the photos; name another, as in -o masks/")


def _listed_suffixes() -> str:
    return " ".join(sorted(PHOTO_SUFFIXES))
