"""The files in which several gateway processes keep their metrics, with their disk space reserved.

prometheus_client maps a file into memory for each kind of metric, and leaves the file sparse: where
the disk has no room for a page that is written later, the kernel ends the process with SIGBUS. Here
a file's blocks are allocated before it is mapped and before it grows; a value for which there is no
room is kept in the process, and written as soon as there is some. prometheus_client has no option
for this. Called by `service.server.supervisor`.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import structlog
from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict

from service.temporary_folders import in_use, sweep

PREFIX = "fcns-metrics-"
FILE_BYTES = 64 * 1024
# one for counters, one for histograms, and one for gauges of each `multiprocess_mode`
FILES_PER_PROCESS = 6
# in memory, on Linux
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - only the parent of a folder with a random name
# bytes of an entry beside its key: length, padding, value, time
ENTRY_BYTES = 32

logger = structlog.get_logger("fcnserve.gateway")


@contextmanager
def metrics_folder(
    processes: int, parents: Sequence[str | None] = (None, SHARED_MEMORY)
) -> Iterator[Path | None]:
    """Make a folder with room for the files of so many processes, in the temporary folder or else
    in memory; yields None, and logs an error, where there is no room.
    """
    made, reasons = None, []
    for parent in parents:
        try:
            made = folder_with_room(parent, processes * FILES_PER_PROCESS * FILE_BYTES)
        except OSError as error:
            reasons.append(f"{parent or 'TMPDIR'}: {error.strerror or error}")
        else:
            break
    if made is None:
        logger.error(
            "the gateway runs without metrics until it is restarted: no room for their files",
            reason="; ".join(reasons),
        )
        yield None
        return
    with made as folder, in_use(Path(folder)):
        yield Path(folder)


def folder_with_room(parent: str | None, room_bytes: int) -> "TemporaryDirectory[str]":
    """Make a folder in `parent` (None: TMPDIR) that has so much room; raises OSError."""
    parent = parent or gettempdir()
    sweep(PREFIX, Path(parent))
    folder = TemporaryDirectory(prefix=PREFIX, dir=parent)
    try:
        probe = f"{folder.name}/probe"
        allocate(probe, room_bytes)
        os.unlink(probe)  # noqa: PTH108 - as it was made
    except OSError:
        folder.cleanup()
        raise
    return folder


def allocate(path: str, size_bytes: int) -> None:
    """Make a file of zeros with all blocks allocated; raises OSError, and leaves no file then."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size_bytes)
    except OSError:
        os.unlink(path)  # noqa: PTH108
        raise
    finally:
        os.close(descriptor)


def reserve_files() -> None:
    """Make prometheus_client keep its values in files whose space is reserved, from now on."""
    values.MmapedDict = ReservedDict  # type: ignore[attr-defined]  # it has no option for that


class ReservedDict(MmapedDict):
    """prometheus_client's dictionary in a file, except that it touches no page without a block."""

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        assert not read_mode  # noqa: S101 - prometheus_client reads without a map
        self._path = filename
        self._positions: dict[str, int] = {}
        self._is_mapped = False
        self._is_logged = False

    def read_value(self, key: str) -> tuple[float, float]:
        if not self._has_room(key):
            return 0.0, 0.0
        value: tuple[float, float] = super().read_value(key)  # type: ignore[no-untyped-call]
        return value

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        """Write the caller's sum, which includes what had no room before."""
        if self._has_room(key):
            super().write_value(key, value, timestamp)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        if self._is_mapped:
            super().close()  # type: ignore[no-untyped-call]

    def _has_room(self, key: str) -> bool:
        if key in self._positions:
            return True
        try:
            self._reserve(key)
        except OSError as error:
            if not self._is_logged:
                logger.error("no room for metrics; some are missing", reason=str(error))
            self._is_logged = True
            return False
        return True

    def _reserve(self, key: str) -> None:
        """Allocate an entry's bytes, in steps as the file grows; raises OSError."""
        if not self._is_mapped:
            self._map()
        needed = self._used + len(key.encode()) + ENTRY_BYTES
        capacity = self._capacity
        while capacity < needed:
            capacity *= 2
        if capacity > self._capacity:
            os.posix_fallocate(self._f.fileno(), 0, capacity)

    def _map(self) -> None:
        """Map the file; it appears in the folder complete, as other processes read it."""
        if not os.path.exists(self._path):  # noqa: PTH110 - else of a dead process with this pid
            draft = f"{self._path}.draft"
            allocate(draft, FILE_BYTES)
            os.rename(draft, self._path)  # noqa: PTH104
        super().__init__(self._path)  # type: ignore[no-untyped-call]
        self._is_mapped = True
