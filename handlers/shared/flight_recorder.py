"""Records which images this process has in work, so that the next process finds it, however this
one ends.

The record is a file mapped into memory: a mark is a store of a few bytes, without a system call,
and it is still there after SIGKILL or a segmentation fault. Record and trace are allocated in full
when they are made: on a full disk a sparse file would end the process at its first mark. Called by
`handlers.isolation.crash_isolation`; layout and reading are in `handlers.shared.flight_records`.
"""

import faulthandler
import fcntl
import mmap
import os
import signal
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from io import FileIO
from pathlib import Path
from typing import ParamSpec, TypeVar

from handlers.shared.flight_records import (
    ACTIVE,
    CLOCK_TRACE_SUFFIX,
    FILE_BYTES,
    HEADER,
    MOST_IMAGES,
    QUEUED,
    SLOT,
    SLOTS_AT,
    STATE_AT,
    SUFFIX,
    TRACE_BYTES,
    TRACE_SUFFIX,
    ImageEntry,
    remove,
    slot_at,
)

P = ParamSpec("P")
T = TypeVar("T")


class FlightRecorder:
    """This process's record; raises OSError where there is no space for it."""

    def __init__(self, folder: Path) -> None:
        name = f"{os.getpid()}-{time.monotonic_ns()}"
        self.path = folder / f"{name}{SUFFIX}"
        # it gets the name by which it is found once it is locked: until then it looks abandoned
        self._file = allocated(folder / f"{name}.new", FILE_BYTES)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._trace = allocated(folder / f"{name}{TRACE_SUFFIX}", TRACE_BYTES)
        self._clock_trace = allocated(folder / f"{name}{CLOCK_TRACE_SUFFIX}", TRACE_BYTES)
        self._slots_end = SLOTS_AT  # of those in use
        self._map = mmap.mmap(self._file.fileno(), FILE_BYTES)
        HEADER.pack_into(self._map, 0, os.getpid(), time.monotonic(), 0.0)
        (folder / f"{name}.new").rename(self.path)

    def catch_crashes(self) -> None:
        """Have the interpreter write the running stack into the trace, should it crash or be too
        slow.
        """
        faulthandler.enable(self._trace, all_threads=False)
        # of all threads: the signal may reach one without a Python stack
        for signum, trace in (
            (signal.SIGPROF, self._trace),
            (signal.SIGALRM, self._clock_trace),
        ):
            faulthandler.register(signum, trace, all_threads=True, chain=True)

    def begin(self, entries: Mapping[int, ImageEntry], clock_s: float, cpu_s: float) -> None:
        """Record a batch, by index; this process ends if it takes longer than that.

        The kernel keeps both limits, which so hold while a decoder keeps the interpreter's lock. A
        watchdog thread for the clock's would have to be started for every batch.
        """
        for index, entry in entries.items():
            self.note(index, entry, cpu_s)
        signal.setitimer(signal.ITIMER_REAL, clock_s)
        self.limit_cpu(cpu_s)

    def limit_cpu(self, cpu_s: float) -> None:
        """Allow so much CPU time from now on, of all threads together; 0 sets no limit."""
        signal.setitimer(signal.ITIMER_PROF, cpu_s)

    def note(self, index: int, entry: ImageEntry, allowed_s: float) -> None:
        """Record an image of the batch, and how long it may be in work."""
        if index < MOST_IMAGES:
            request_id = entry.request_id.encode()[:64]
            slot = (entry.digest, allowed_s, QUEUED, entry.isolated, request_id)
            SLOT.pack_into(self._map, slot_at(index), *slot)
            self._slots_end = max(self._slots_end, slot_at(index + 1))

    def run(
        self, indices: Iterable[int], stage: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a stage, marking the images that it works on for as long as it does."""
        marks = [slot_at(index) + STATE_AT for index in indices if index < MOST_IMAGES]
        for mark in marks:
            self._map[mark] = ACTIVE
        try:
            return stage(*args, **kwargs)
        finally:
            for mark in marks:
                self._map[mark] = QUEUED

    def end(self) -> None:
        """Clear the batch: it is answered."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.limit_cpu(0)
        self._map[SLOTS_AT : self._slots_end] = bytes(self._slots_end - SLOTS_AT)
        self._slots_end = SLOTS_AT
        struct.pack_into("=d", self._map, HEADER.size - 8, time.monotonic())

    def close(self) -> None:
        """Remove the files: this process ends regularly."""
        self._map.close()
        self._trace.close()
        self._clock_trace.close()
        remove(self.path)
        self._file.close()


def allocated(path: Path, size: int) -> FileIO:
    """Make a file whose every byte has its space on the disk; raises OSError."""
    file = FileIO(path, "x+")
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError:
        file.close()
        path.unlink()
        raise
    return file
