"""Writes an answer to what `-o` names, as `cp` does: devices, FIFOs and links stay what they are.

In: a name and bytes. A regular file is replaced whole or not at all, where that is not seen
otherwise; where it would be (further hard links, another owner, extended attributes) it is written
in place. Called by `service/cli/segment.py`.
"""

import os
import secrets
import stat
from pathlib import Path

MAX_LINKS = 40
"""As many as Linux follows."""

_OPEN_FILES = "/proc/self/fd"
_LABELS = frozenset({"security.selinux"})
"""Attributes that the system gives a new file by itself."""


def is_stream(target: Path) -> bool:
    """Whether bytes go through what is named, rather than stay in it."""
    if open_descriptor(target) is not None:
        return True
    try:
        mode = target.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def open_descriptor(target: Path) -> int | None:
    """Read N of /dev/fd/N, /dev/stdout and links to them; None for all else.

    They are written through that descriptor: opened by name, a file behind it would be cut to
    nothing, and one that was opened to append would not be appended to.
    """
    open_files = os.path.realpath(_OPEN_FILES)
    step = os.fspath(target)
    for _ in range(MAX_LINKS):
        folder, name = os.path.split(step)
        folder = os.path.realpath(folder)
        if folder == open_files and name.isascii() and name.isdecimal():
            return int(name)
        step = os.path.join(folder, name)  # noqa: PTH118 - one spelling all along
        if not os.path.islink(step):  # noqa: PTH114 - Path's raises for a name that is too long
            return None
        step = os.path.join(folder, os.readlink(step))  # noqa: PTH115, PTH118
    return None


def write_answer(target: Path | None, body: bytes) -> None:
    """Write to a name, or to standard output; raises OSError, which has the name."""
    try:
        _write(target, body)
    except OSError as error:  # of a draft, or of a descriptor, which has none
        named = "standard output" if target is None else str(target)
        raise OSError(error.errno, error.strerror, named) from error


def _write(target: Path | None, body: bytes) -> None:
    if target is None:
        _write_all(1, body)
    elif (descriptor := open_descriptor(target)) is not None:
        _write_all(descriptor, body)
    else:
        _write_file(Path(os.path.realpath(target)), body)  # a link stays, what it names is written


def _write_file(file: Path, body: bytes) -> None:
    try:
        there = file.stat()
    except FileNotFoundError:
        file.parent.mkdir(parents=True, exist_ok=True)
        _replace(file, body)
        return
    if not _is_plain(file, there) or not _replaced_alike(file, body, there):
        file.write_bytes(body)


def _write_all(descriptor: int, body: bytes) -> None:
    """Write without a buffer, which would fail once more when the program ends."""
    left = memoryview(body)
    while left:
        left = left[os.write(descriptor, left) :]


def _is_plain(file: Path, there: os.stat_result) -> bool:
    """Whether a new file with the same mode is all that this one is."""
    if not stat.S_ISREG(there.st_mode) or there.st_nlink > 1 or not os.access(file, os.W_OK):
        return False
    try:
        return _LABELS.issuperset(os.listxattr(file))
    except OSError:  # a file system without any
        return True


def _replaced_alike(file: Path, body: bytes, there: os.stat_result) -> bool:
    """Replace a file by one of the same mode; False where that cannot be had here."""
    try:
        _replace(file, body, there)
    except PermissionError:  # a folder that takes no new files, or a file of someone else
        return False
    return True


def _replace(file: Path, body: bytes, there: os.stat_result | None = None) -> None:
    """Write beside a file, then rename. The draft's name is short: the file's may be the longest
    that there can be.
    """
    draft = file.with_name(f".{secrets.token_hex(6)}.part")
    try:
        with draft.open("xb") as opened:
            if there is not None:
                os.fchown(opened.fileno(), there.st_uid, there.st_gid)
                os.fchmod(opened.fileno(), stat.S_IMODE(there.st_mode))
            opened.write(body)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
