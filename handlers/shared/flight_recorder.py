"""What this process has in hand, kept where the next process reads it, however this one ends.

A file per process, mapped into memory: a mark is a store of a few bytes, without a system call,
and it is still there after SIGKILL or a segmentation fault. A lock on the file says that its
process lives; the kernel releases it with the process. Beside it lies a file for the traceback of
a crash, or of a batch that ran out of time. Both are allocated in full when they are made: on a
full disk a sparse file would end the process at its first mark.

Written by `handlers.isolation.guard`, read after the end by `handlers.isolation.suspects`, and
while the process lives by the supervisor (`service.worker.liveness`).
"""

import faulthandler
import fcntl
import mmap
import os
import signal
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Literal, ParamSpec, TypeVar

SUFFIX, TRACE_SUFFIX = ".flight", ".trace"
MOST_IMAGES = 256  # of a batch, as in handlers/model_config.py
# process id, when it had loaded its model and when it last answered (CLOCK_MONOTONIC)
HEADER = struct.Struct("=Idd")
# digest, seconds allowed, state, alone or not, request id
SLOT = struct.Struct("=32sdBB64s")
STATE_AT = 40
SLOTS_AT = 64
FILE_BYTES = SLOTS_AT + MOST_IMAGES * SLOT.size
TRACE_BYTES = 64 * 1024
FREE, HELD, ACTIVE = 0, 1, 2

# "out_of_time" of CPU time, "stalled" of the clock's, which a busy machine may take
Ending = Literal["crashed", "killed", "out_of_time", "stalled"]
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """An image in hand; `alone` where nothing else is worked on meanwhile."""

    digest: bytes
    request_id: str = ""
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Active:
    """An image that was being worked on when its process ended."""

    entry: Entry
    allowed_s: float


@dataclass(frozen=True, slots=True)
class Flight:
    """A process that has ended: how, and what it was working on."""

    pid: int
    ending: Ending
    active: tuple[Active, ...]
    trace: str


class FlightRecorder:
    """This process's file; raises OSError where there is no room for it."""

    def __init__(self, folder: Path) -> None:
        name = f"{os.getpid()}-{time.monotonic_ns()}"
        self.path = folder / f"{name}{SUFFIX}"
        # it gets the name by which it is found once it is locked: until then it looks abandoned
        self._file = allocated(folder / f"{name}.new", FILE_BYTES)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._trace = allocated(folder / f"{name}{TRACE_SUFFIX}", TRACE_BYTES)
        self._map = mmap.mmap(self._file.fileno(), FILE_BYTES)
        HEADER.pack_into(self._map, 0, os.getpid(), time.monotonic(), 0.0)
        (folder / f"{name}.new").rename(self.path)

    def catch_crashes(self) -> None:
        """Have the interpreter write what ran into the trace, should it crash or be too slow."""
        faulthandler.enable(self._trace, all_threads=False)
        # of all threads: the signal may come to one that Python does not know, which has no stack
        faulthandler.register(signal.SIGPROF, self._trace, all_threads=True, chain=True)

    def begin(self, entries: Mapping[int, Entry], clock_s: float, cpu_s: float) -> None:
        """Take a batch in hand, by places; this process ends if it is not through in time.

        Both limits hold while a decoder keeps the interpreter's lock: a thread of C keeps the
        clock's, the kernel that of CPU time.
        """
        for place, entry in entries.items():
            self.hold(place, entry, cpu_s)
        faulthandler.dump_traceback_later(clock_s, exit=True, file=self._trace)
        self.allow(cpu_s)

    def allow(self, cpu_s: float) -> None:
        """Allow so much CPU time from now on, of all threads together; 0 sets no limit."""
        signal.setitimer(signal.ITIMER_PROF, cpu_s)

    def hold(self, place: int, entry: Entry, allowed_s: float) -> None:
        """Note what is in hand at a place, and how long it may be worked on."""
        if place < MOST_IMAGES:
            request_id = entry.request_id.encode()[:64]
            slot = (entry.digest, allowed_s, HELD, entry.alone, request_id)
            SLOT.pack_into(self._map, slot_at(place), *slot)

    def run(
        self, places: Iterable[int], stage: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a stage, marking the images that it works on for as long as it does."""
        marks = [slot_at(place) + STATE_AT for place in places if place < MOST_IMAGES]
        for mark in marks:
            self._map[mark] = ACTIVE
        try:
            return stage(*args, **kwargs)
        finally:
            for mark in marks:
                self._map[mark] = HELD

    def end(self) -> None:
        """Put the batch down: it is answered."""
        faulthandler.cancel_dump_traceback_later()
        self.allow(0)
        self._map[SLOTS_AT:] = bytes(FILE_BYTES - SLOTS_AT)
        struct.pack_into("=d", self._map, HEADER.size - 8, time.monotonic())

    def close(self) -> None:
        """Remove the files: this process ends in peace."""
        self._map.close()
        self._trace.close()
        remove(self.path)
        self._file.close()


def allocated(path: Path, size: int) -> FileIO:
    """Make a file whose every byte has its room on the disk; raises OSError."""
    file = FileIO(path, "x+")
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError:
        file.close()
        path.unlink()
        raise
    return file


def slot_at(place: int) -> int:
    return SLOTS_AT + place * SLOT.size


def flights(folder: Path) -> list[str]:
    """List the files of processes; quicker than a glob, since it is done for each batch."""
    try:
        with os.scandir(folder) as entries:
            return [entry.path for entry in entries if entry.name.endswith(SUFFIX)]
    except OSError:
        return []


def take_ended(folder: Path, living: str = "") -> Iterator[Flight]:
    """Read the files of processes that have ended, each by one reader only, and remove them;
    that of a process known to live is not looked at.
    """
    for found in flights(folder):
        if found == living:
            continue
        path = Path(found)
        with suppress(OSError), FileIO(found) as file:
            if is_locked(file):
                continue
            data = file.readall()
            if path.exists() and len(data) == FILE_BYTES:  # no other process has taken it
                yield read_flight(data, read_trace(path))
            remove(path)


def is_locked(file: FileIO) -> bool:
    """Tell whether the process lives; where not, keep others from reading its file."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def read_flight(data: bytes, trace: str) -> Flight:
    pid, _, _ = HEADER.unpack_from(data)
    slots = (SLOT.unpack_from(data, slot_at(place)) for place in range(MOST_IMAGES))
    active = tuple(
        Active(Entry(digest, request_id.rstrip(b"\0").decode(), bool(alone)), allowed_s)
        for digest, allowed_s, state, alone, request_id in slots
        if state == ACTIVE
    )
    return Flight(pid, ending_of(trace), active, trace)


def ending_of(trace: str) -> Ending:
    """Tell from its trace how a process ended; it has none if it was killed from outside."""
    beginnings: Mapping[str, Ending] = {
        "Timeout (": "stalled",
        "Thread 0x": "out_of_time",
        "Current thread 0x": "out_of_time",
        "Fatal Python error": "crashed",
    }
    found = (ending for words, ending in beginnings.items() if trace.startswith(words))
    return next(found, "killed")


def read_trace(flight: Path) -> str:
    with suppress(OSError):
        return flight.with_suffix(TRACE_SUFFIX).read_bytes().rstrip(b"\0").decode(errors="replace")
    return ""


def remove(flight: Path) -> None:
    for path in (flight.with_suffix(TRACE_SUFFIX), flight):
        path.unlink(missing_ok=True)


def last_signs_s(folder: Path) -> tuple[float, float]:
    """When the latest process here had loaded, and when one last answered (CLOCK_MONOTONIC); 0
    for never.
    """
    loaded_s = answered_s = 0.0
    for path in flights(folder):
        with suppress(OSError, struct.error), FileIO(path) as file:
            _, loaded, answered = HEADER.unpack(file.read(HEADER.size))
            loaded_s, answered_s = max(loaded_s, loaded), max(answered_s, answered)
    return loaded_s, answered_s
