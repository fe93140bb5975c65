"""Writes an answer to the target of `-o`, as `cp` does: devices, FIFOs and links stay such.

In: a name and bytes. A regular file is replaced atomically where the replacement is like the
original; otherwise (more hard links, another owner, extended attributes) it is written in place.
Called by `service.client.segment`.
"""

import os
import secrets
import stat
from pathlib import Path

MAX_LINKS = 40
"""The limit of Linux."""

_OPEN_FILES = "/proc/self/fd"
_LABELS = frozenset({"security.selinux"})
"""Extended attributes that the system itself adds to a new file."""


def is_stream(target: Path) -> bool:
    """Return whether the target passes bytes on (a pipe, a device), rather than stores them."""
    if open_descriptor(target) is not None:
        return True
    try:
        mode = target.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def open_descriptor(target: Path) -> int | None:
    """Read N of /dev/fd/N, /dev/stdout and links to them; None for all other targets.

    They are written through that descriptor: opening them by name would truncate a file behind it,
    and would not append to one that was opened to append.
    """
    open_files = os.path.realpath(_OPEN_FILES)
    step = os.fspath(target)
    for _ in range(MAX_LINKS):
        folder, name = os.path.split(step)
        folder = os.path.realpath(folder)
        if folder == open_files and name.isascii() and name.isdecimal():
            return int(name)
        step = os.path.join(folder, name)  # noqa: PTH118 - one style throughout
        if not os.path.islink(step):  # noqa: PTH114 - Path's raises for a name that is too long
            return None
        step = os.path.join(folder, os.readlink(step))  # noqa: PTH115, PTH118
    return None


def write_answer(target: Path | None, body: bytes) -> None:
    """Write to a target, or to standard output; raises OSError with the target's name."""
    try:
        _write(target, body)
    except OSError as error:  # its own name is a draft's, or is missing for a descriptor
        name = "standard output" if target is None else str(target)
        raise OSError(error.errno, error.strerror, name) from error


def _write(target: Path | None, body: bytes) -> None:
    if target is None:
        write_all(1, body)
    elif (descriptor := open_descriptor(target)) is not None:
        write_all(descriptor, body)
    else:
        _write_file(Path(os.path.realpath(target)), body)  # the link stays, its target is written


def _write_file(file: Path, body: bytes) -> None:
    try:
        existing = file.stat()
    except FileNotFoundError:
        file.parent.mkdir(parents=True, exist_ok=True)
        _replace(file, body)
        return
    if not _is_plain(file, existing) or not _replaced_alike(file, body, existing):
        file.write_bytes(body)


def write_all(descriptor: int, body: bytes) -> None:
    """Write without a buffer, whose flush would fail a second time when the program ends."""
    remaining = memoryview(body)
    while remaining:
        remaining = remaining[os.write(descriptor, remaining) :]


def _is_plain(file: Path, existing: os.stat_result) -> bool:
    """Return whether a new file of the same mode and owner could replace this one unnoticed."""
    if not stat.S_ISREG(existing.st_mode) or existing.st_nlink > 1 or not os.access(file, os.W_OK):
        return False
    try:
        return _LABELS.issuperset(os.listxattr(file))
    except OSError:  # a file system without any
        return True


def _replaced_alike(file: Path, body: bytes, existing: os.stat_result) -> bool:
    """Replace a file by one of the same mode and owner; False without the permissions for it."""
    try:
        _replace(file, body, existing)
    except PermissionError:  # a folder that is not writable, or a file of another owner
        return False
    return True


def _replace(file: Path, body: bytes, existing: os.stat_result | None = None) -> None:
    """Write beside a file, then rename.

    The draft has a short name, since the file's own may have the maximum length.
    """
    draft = file.with_name(f".{secrets.token_hex(6)}.part")
    try:
        with draft.open("xb") as opened:
            if existing is not None:
                os.fchown(opened.fileno(), existing.st_uid, existing.st_gid)
                os.fchmod(opened.fileno(), stat.S_IMODE(existing.st_mode))
            opened.write(body)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
