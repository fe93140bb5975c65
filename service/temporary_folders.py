"""Temporary folders that are removed at the end, or at the next start after `kill -9`.

In: a prefix and a parent folder. Out: a folder with a lock on a file in it, which marks it as in
use. The kernel releases the lock with the last process that has the file open, however that ends; a
subprocess may inherit it (`lock_fd`). `tempfile.TemporaryDirectory` leaves its folder behind when
the process is killed. Called by `service.worker.torchserve` and `service.metrics.files`.
"""

import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import structlog

LOCK = "in-use"

logger = structlog.get_logger("fcnserve.folders")


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder in use, and the open file that marks it so."""

    path: Path
    lock_fd: int


@contextmanager
def temporary_folder(prefix: str, parent: Path) -> Iterator[Folder]:
    """Make a new folder; first, remove those that no process uses any more."""
    sweep(prefix, parent)
    path = Path(mkdtemp(prefix=prefix, dir=parent))
    with in_use(path) as lock_fd:
        try:
            yield Folder(path, lock_fd)
        finally:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def in_use(folder: Path) -> Iterator[int]:
    """Lock a folder during the block; gives the open file with the lock."""
    # renamed once it is locked: before, other processes would take the folder for abandoned
    unnamed = folder / f".{LOCK}"
    lock_fd = os.open(unnamed, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX)
        unnamed.rename(folder / LOCK)
        yield lock_fd
    finally:
        os.close(lock_fd)


def sweep(prefix: str, parent: Path) -> None:
    """Remove this user's folders with that prefix that no process has locked."""
    for path in parent.glob(f"{prefix}*"):
        with suppress(OSError):
            if is_own(path) and is_abandoned(path):
                shutil.rmtree(path, ignore_errors=True)
                logger.info("removed what a service that was killed had left", folder=str(path))


def is_own(path: Path) -> bool:
    """Return whether it is a folder, not a link to one, and belongs to this user."""
    found = path.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def is_abandoned(path: Path) -> bool:
    """Return whether no process holds its lock. Raises OSError where there is none."""
    lock_fd = os.open(path / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock_fd)
    return True
