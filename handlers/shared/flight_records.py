"""The records of worker processes: their layout, and what the records of ended ones show.

A file per process, mapped into memory by `handlers.shared.flight_recorder`. A lock on the file
shows that its process lives; the kernel releases it with the process. Beside it lie two files for
tracebacks: of a crash or a batch that ran out of CPU time, and of one that ran out of time by the
clock. Read by `handlers.isolation.suspects`
after the end, and by the supervisor (`service.worker.liveness`) while the process lives.
"""

import fcntl
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Literal

SUFFIX, TRACE_SUFFIX, CLOCK_TRACE_SUFFIX = ".flight", ".trace", ".clock-trace"
TRACE_SUFFIXES = (TRACE_SUFFIX, CLOCK_TRACE_SUFFIX)
MOST_IMAGES = 256  # of a batch, as in handlers/model_config.py
# process id, when it had loaded its model and when it last answered (CLOCK_MONOTONIC)
HEADER = struct.Struct("=Idd")
# digest, seconds allowed, state, isolated or not, request id
SLOT = struct.Struct("=32sdBB64s")
STATE_AT = 40
SLOTS_AT = 64
FILE_BYTES = SLOTS_AT + MOST_IMAGES * SLOT.size
TRACE_BYTES = 64 * 1024
FREE, QUEUED, ACTIVE = 0, 1, 2
# beside the models' folders, while TorchServe is about to stop
DRAINING_FILE = "draining"

# "out_of_time" of CPU time, "stalled" of the clock's, which a busy machine may take
Ending = Literal["crashed", "killed", "out_of_time", "stalled"]


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """An image of a batch; `isolated` where no other image is in work meanwhile."""

    digest: bytes
    request_id: str = ""
    isolated: bool = False


@dataclass(frozen=True, slots=True)
class ActiveImage:
    """An image that was in work when its process ended."""

    entry: ImageEntry
    allowed_s: float


@dataclass(frozen=True, slots=True)
class EndedProcess:
    """A process that has ended: how, and the images that it had in work."""

    pid: int
    ending: Ending
    active: tuple[ActiveImage, ...]
    trace: str


def slot_at(index: int) -> int:
    return SLOTS_AT + index * SLOT.size


def record_paths(folder: Path) -> list[str]:
    """List the records; quicker than a glob, since it is done for each batch."""
    try:
        with os.scandir(folder) as entries:
            return [entry.path for entry in entries if entry.name.endswith(SUFFIX)]
    except OSError:
        return []


def take_ended(folder: Path, living: str = "") -> Iterator[EndedProcess]:
    """Read the records of processes that have ended, each by one reader only, and remove them;
    that of a process known to live is skipped.
    """
    for name in record_paths(folder):
        if name == living:
            continue
        path = Path(name)
        with suppress(OSError), FileIO(name) as file:
            if is_locked(file):
                continue
            data = file.readall()
            if path.exists() and len(data) == FILE_BYTES:  # no other process has taken it
                yield read_record(data, *read_traces(path))
            remove(path)


def is_locked(file: FileIO) -> bool:
    """Check whether the process lives; if not, lock its record against other readers."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def read_record(data: bytes, trace: str, clock_trace: str) -> EndedProcess:
    pid, _, _ = HEADER.unpack_from(data)
    slots = (SLOT.unpack_from(data, slot_at(index)) for index in range(MOST_IMAGES))
    active = tuple(
        ActiveImage(ImageEntry(digest, request_id.rstrip(b"\0").decode(), bool(isolated)), allowed)
        for digest, allowed, state, isolated, request_id in slots
        if state == ACTIVE
    )
    return EndedProcess(pid, ending_of(trace, clock_trace), active, trace or clock_trace)


def ending_of(trace: str, clock_trace: str) -> Ending:
    """Classify a process's end by its traces; it has none if it was killed from outside."""
    beginnings: Mapping[str, Ending] = {
        "Thread 0x": "out_of_time",
        "Current thread 0x": "out_of_time",
        "Fatal Python error": "crashed",
    }
    endings = (ending for text, ending in beginnings.items() if trace.startswith(text))
    return next(endings, "stalled" if clock_trace else "killed")


def read_traces(record: Path) -> tuple[str, str]:
    trace, clock_trace = (read_text(record.with_suffix(each)) for each in TRACE_SUFFIXES)
    return trace, clock_trace


def read_text(trace: Path) -> str:
    with suppress(OSError):
        return trace.read_bytes().rstrip(b"\0").decode(errors="replace")
    return ""


def remove(record: Path) -> None:
    for suffix in (*TRACE_SUFFIXES, SUFFIX):
        record.with_suffix(suffix).unlink(missing_ok=True)


def has_images(folder: Path) -> bool:
    """Return whether a process here has an image in work; one that has ended counts, too, until its
    record is taken.
    """
    for path in record_paths(folder):
        with suppress(OSError), FileIO(path) as file:
            if any(file.readall()[SLOTS_AT:]):
                return True
    return False


def last_signs_s(folder: Path) -> tuple[float, float]:
    """Return when the latest process here had loaded its model, and when one last answered
    (CLOCK_MONOTONIC); 0 for never.
    """
    loaded_s = answered_s = 0.0
    for path in record_paths(folder):
        with suppress(OSError, struct.error), FileIO(path) as file:
            _, loaded, answered = HEADER.unpack(file.read(HEADER.size))
            loaded_s, answered_s = max(loaded_s, loaded), max(answered_s, answered)
    return loaded_s, answered_s
