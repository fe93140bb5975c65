"""Moments by key, in memory that all gateway processes share. Called by `service.auth.rate_limit`.

The supervisor makes the table and passes it on to the processes that it starts, so that the table
outlives each of them. A process that is killed at any point leaves a sound table: a moment is one
machine word, written at once, and the kernel releases its lock. One that is stopped (SIGSTOP) while
it holds the lock delays each change of the others by a few milliseconds.
"""

import fcntl
import hashlib
import mmap
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import reduction
from typing import Any

from service.auth.keys import MAX_KEYS

WORD_BYTES = 8
# keys that the file has no more may still be there
SLOTS = 4 * MAX_KEYS
TABLE_BYTES = 2 * SLOTS * WORD_BYTES
# waiting for a process that is in the midst of a change, which takes microseconds
TRIES, PAUSE_S = 20, 0.0002


class SharedTable:
    """A moment for each key, 0 where none was set. A key whose moment has passed may be forgotten.

    It can be passed to a process that `multiprocessing` spawns.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = fresh_memory() if descriptor is None else descriptor
        memory = memoryview(mmap.mmap(self._descriptor, TABLE_BYTES))
        self._tags = memory[: TABLE_BYTES // 2].cast("Q")
        self._moments = memory[TABLE_BYTES // 2 :].cast("d")

    def __reduce__(self) -> tuple[Callable[..., "SharedTable"], tuple[object, ...]]:
        return attached, (reduction.DupFd(self._descriptor),)

    @contextmanager
    def changing(self, key: str, now: float) -> Iterator["Moment"]:
        """Lock the table and give the key's moment, to be read and set."""
        with self._locked():
            yield Moment(self._moments, self._slot(tag_of(key), now))

    def _slot(self, tag: int, now: float) -> int:
        """Find the key's slot, or give it an empty one, or that of a key whose moment passed."""
        spare = None
        for step in range(SLOTS):
            slot = (tag + step) % SLOTS
            if self._tags[slot] == tag:
                return slot
            if spare is None and self._moments[slot] <= now:
                spare = slot
            if self._tags[slot] == 0:
                break
        if spare is None:  # more keys at a time than there can be in a file
            spare = min(range(SLOTS), key=self._moments.__getitem__)
        self._moments[spare] = 0.0
        self._tags[spare] = tag
        return spare

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock; go without it where its holder was stopped: a change may then be lost."""
        for _ in range(TRIES):
            with suppress(BlockingIOError):
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(PAUSE_S)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)


class Moment:
    """The moment of one key, while the table is locked."""

    def __init__(self, moments: "memoryview[float]", slot: int) -> None:
        self._moments = moments
        self._slot = slot

    @property
    def value(self) -> float:
        found: float = self._moments[self._slot]
        return found

    @value.setter
    def value(self, moment: float) -> None:
        self._moments[self._slot] = moment


def attached(descriptor: Any) -> SharedTable:
    """Find the table again in a process that it was passed to."""
    return SharedTable(descriptor.detach())


def fresh_memory() -> int:
    """Make memory of no file system, all of it there from the start; raises OSError."""
    descriptor = os.memfd_create("fcnserve-rates")
    os.posix_fallocate(descriptor, 0, TABLE_BYTES)
    return descriptor


def tag_of(key: str) -> int:
    """Make a word of a key that no other has; never 0, which marks an empty slot."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=WORD_BYTES).digest()) or 1
