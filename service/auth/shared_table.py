"""Points in time by key, in memory that all gateway processes share. Called by
`service.auth.rate_limit`.

The supervisor makes the table and passes it to the processes that it starts, so that the table
outlives each of them. A process that is killed at any point leaves a valid table: a time is one
machine word, written at once, and the kernel releases its lock. A process that is stopped (SIGSTOP)
while it holds the lock delays each change of the others by a few milliseconds.

Our own, because multiprocessing's locks stay locked when their holder is killed, and its managers
are one more process that can die; `fcntl` of the standard library is enough.
"""

import fcntl
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from service.auth.keys import MAX_KEYS
from service.multiprocess.shared_memory import SharedMemory

WORD_BYTES = 8
# keys that were removed from the file may still have one
SLOTS = 4 * MAX_KEYS
TABLE_BYTES = 2 * SLOTS * WORD_BYTES
# waiting for a process that holds the lock; a change takes microseconds
TRIES, PAUSE_S = 20, 0.0002


class SharedTable:
    """A time for each key, 0 where none was set. A key whose time has passed may be removed.

    It can be passed to a process that `multiprocessing` spawns.
    """

    def __init__(self, memory: SharedMemory | None = None) -> None:
        self._memory = memory or SharedMemory(TABLE_BYTES)
        self._descriptor = self._memory.descriptor
        self._tags = self._memory.view[: TABLE_BYTES // 2].cast("Q")
        self._times = self._memory.view[TABLE_BYTES // 2 :].cast("d")

    def __reduce__(self) -> tuple[type["SharedTable"], tuple[SharedMemory]]:
        return SharedTable, (self._memory,)

    @contextmanager
    def changing(self, key: str, now: float) -> Iterator["SharedTime"]:
        """Lock the table and yield the key's time, to be read and set."""
        with self._locked():
            yield SharedTime(self._times, self._slot(tag_of(key), now))

    def _slot(self, tag: int, now: float) -> int:
        """Find the key's slot, or take an empty one, or that of a key whose time has passed."""
        spare = None
        for step in range(SLOTS):
            slot = (tag + step) % SLOTS
            if self._tags[slot] == tag:
                return slot
            if spare is None and self._times[slot] <= now:
                spare = slot
            if self._tags[slot] == 0:
                break
        if spare is None:  # more keys at a time than a file can have
            spare = min(range(SLOTS), key=self._times.__getitem__)
        self._times[spare] = 0.0
        self._tags[spare] = tag
        return spare

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock; continue without it where its holder was stopped: a change may be lost."""
        for _ in range(TRIES):
            with suppress(BlockingIOError):
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(PAUSE_S)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)


class SharedTime:
    """The time of one key, while the table is locked."""

    def __init__(self, times: "memoryview[float]", slot: int) -> None:
        self._times = times
        self._slot = slot

    @property
    def value(self) -> float:
        found: float = self._times[self._slot]
        return found

    @value.setter
    def value(self, time_s: float) -> None:
        self._times[self._slot] = time_s


def tag_of(key: str) -> int:
    """Hash a key to one word; never 0, which marks an empty slot."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=WORD_BYTES).digest()) or 1
