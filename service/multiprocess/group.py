"""The gateway's processes as each of them sees the others: which one this is, how many there are,
and some figures of each, in memory that they share.

A figure is one number a process, which that process alone writes, as one machine word: so reading
and writing need no lock, and a process that is killed at any point leaves valid figures. The
supervisor clears them before it starts another in its place. Made by `service.server`, used by all
that has one limit for all processes.
"""

import hashlib
import multiprocessing
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol

from service.multiprocess.shared_memory import SharedMemory

WORD_BYTES = 8
# 0 while it does not listen
PID = "pid"
# changes with each second in which the event loop has turned
HEARTBEAT = "heartbeat"
CONNECTIONS = "connections"
# predicted seconds of all images answered so far; never cleared, so that their sum only grows
ANSWERED_S = "answered_s"
# how often the replicas that have figures have changed
REPLICAS_CHANGED = "replicas_changed"
# of each model and, under "", of all models together
IMAGES, BODY_BYTES, SECONDS = "images", "body_bytes", "seconds"
OF_PROCESS = (PID, HEARTBEAT, CONNECTIONS, ANSWERED_S, REPLICAS_CHANGED)
OF_MODEL = (IMAGES, BODY_BYTES, SECONDS)
# of each model at each replica: the requests that it has and predicted seconds of their images, and
# the images that it has answered and lost or refused so far
SENT_REQUESTS, SENT_SECONDS = "sent_requests", "sent_seconds"
REPLICA_ANSWERED, REPLICA_FAILED = "replica_answered", "replica_failed"
OF_REPLICA = (SENT_REQUESTS, SENT_SECONDS, REPLICA_ANSWERED, REPLICA_FAILED)
COUNTED_FOR_EVER = {ANSWERED_S, REPLICAS_CHANGED, REPLICA_ANSWERED, REPLICA_FAILED}
# replicas at a time: their figures have memory before any of them is known
MAX_REPLICAS = 256
NO_NUMBERS = MAX_REPLICAS * WORD_BYTES


class Figure(Protocol):
    """One figure of all processes."""

    own: float

    def total(self) -> float:
        """Add up all processes' numbers."""

    def __iter__(self) -> Iterator[float]:
        """Iterate over the numbers, in the order of the processes."""


class SingleFigure:
    """A figure of one process alone."""

    __slots__ = ("own",)

    def __init__(self) -> None:
        self.own = 0.0

    def total(self) -> float:
        return self.own

    def __iter__(self) -> Iterator[float]:
        yield self.own


class SharedFigure:
    """A figure of several processes, and which of the numbers is this process's own."""

    __slots__ = ("_index", "_numbers")

    def __init__(self, numbers: "memoryview[float]", index: int) -> None:
        self._numbers = numbers
        self._index = index

    @property
    def own(self) -> float:
        found: float = self._numbers[self._index]
        return found

    @own.setter
    def own(self, number: float) -> None:
        self._numbers[self._index] = number

    def total(self) -> float:
        return sum(self._numbers)

    def __iter__(self) -> Iterator[float]:
        return iter(self._numbers)


class ReplicaFigure:
    """A figure of one replica. Each process finds the replicas by itself, in any order, and writes
    into its own slots; those of the others are found by the replica's tag. A tag that is absent is
    not searched for until its process has changed its replicas.
    """

    __slots__ = ("_absent_at", "_changes", "_hints", "_index", "_numbers", "_slot", "_tag", "_tags")

    def __init__(
        self,
        numbers: "memoryview[float]",
        tags: "memoryview[float]",
        changes: Figure,
        tag: int,
        index: int,
        slot: int,
    ) -> None:
        """Take MAX_REPLICAS numbers and tags of each process, how often it has changed the tags,
        and this process's slot.
        """
        self._numbers = numbers
        self._tags = tags
        self._changes = changes
        self._tag = tag
        self._index = index
        self._slot = slot
        processes = len(tags) // MAX_REPLICAS
        self._hints = [slot] * processes
        self._absent_at: list[float | None] = [None] * processes

    @property
    def own(self) -> float:
        found: float = self._numbers[self._index * MAX_REPLICAS + self._slot]
        return found

    @own.setter
    def own(self, number: float) -> None:
        self._numbers[self._index * MAX_REPLICAS + self._slot] = number

    def total(self) -> float:
        return sum(self)

    def __iter__(self) -> Iterator[float]:
        for process, change in enumerate(self._changes):
            start = process * MAX_REPLICAS
            is_there = self._tags[start + self._hints[process]] == self._tag
            if is_there or self._find(process, start, change):
                yield self._numbers[start + self._hints[process]]
            else:
                yield 0.0

    def _find(self, process: int, start: int, change: float) -> bool:
        """Find a process's slot; False where it has none, as of this change of its tags."""
        if self._absent_at[process] == change:
            return False
        tags = self._tags[start : start + MAX_REPLICAS].tolist()
        if self._tag not in tags:
            self._absent_at[process] = change
            return False
        self._hints[process] = tags.index(self._tag)
        return True


def tag_of(replica: str) -> int:
    """Hash a replica's name to a number that a float holds exactly; never 0."""
    return int.from_bytes(hashlib.blake2b(replica.encode(), digest_size=6).digest()) or 1


class ProcessGroup:
    """The processes, as the one at `index` sees them; without arguments, one process alone.

    It can be passed to a process that `multiprocessing` spawns.
    """

    def __init__(
        self,
        models: Sequence[str] = (),
        count: int = 1,
        index: int = 0,
        memory: SharedMemory | None = None,
    ) -> None:
        """Take the models that have figures, the number of processes, and the memory where others
        have it, too.
        """
        self._models = models
        self.count = count
        self.index = index
        names = [(name, "") for name in OF_PROCESS]
        names += [(name, model) for model in ("", *models) for name in OF_MODEL]
        self._memory = memory
        self._figures: Mapping[tuple[str, str], Figure]
        if count == 1:
            self._figures = {name: SingleFigure() for name in names}
            return
        of_replicas = [(name, model) for model in models for name in OF_REPLICA]
        columns = 1 + len(of_replicas)  # with the tags
        words = count * (len(names) + columns * MAX_REPLICAS)
        self._memory = memory or SharedMemory(words * WORD_BYTES)
        numbers: memoryview[float] = self._memory.view.cast("d")
        self._figures = {
            name: SharedFigure(numbers[start * count : (start + 1) * count], index)
            for start, name in enumerate(names)
        }
        size = count * MAX_REPLICAS
        first = count * len(names)
        parts = [numbers[first + at * size : first + (at + 1) * size] for at in range(columns)]
        self._tags, self._of_replicas = parts[0], dict(zip(of_replicas, parts[1:], strict=True))

    def __reduce__(self) -> tuple[type["ProcessGroup"], tuple[object, ...]]:
        return ProcessGroup, (self._models, self.count, self.index, self._memory)

    def at(self, index: int) -> "ProcessGroup":
        """Return the group as another of its processes sees it."""
        return ProcessGroup(self._models, self.count, index, self._memory)

    def figure(self, name: str, model: str = "") -> Figure:
        """Return a figure, of one model or of all together."""
        return self._figures[name, model]

    def replica_figure(self, name: str, model: str, tag: int) -> Figure:
        """Return a figure of a model at a replica, which takes a slot until `keep_replicas`;
        raises ValueError where all MAX_REPLICAS are taken.
        """
        if self.count == 1:
            return SingleFigure()
        numbers = self._of_replicas[name, model]
        changes = self.figure(REPLICAS_CHANGED)
        return ReplicaFigure(numbers, self._tags, changes, tag, self.index, self._slot(tag))

    def _slot(self, tag: int) -> int:
        """Find this process's slot of a replica, or take one."""
        tags = self._own_tags()
        if tag in tags:
            return tags.index(tag)
        if 0 not in tags:
            raise ValueError(f"{MAX_REPLICAS} replicas have figures already, which is the limit")
        slot = tags.index(0)
        self._tags[self.index * MAX_REPLICAS + slot] = tag
        self._has_changed()
        return slot

    def _own_tags(self) -> list[float]:
        start = self.index * MAX_REPLICAS
        return list(self._tags[start : start + MAX_REPLICAS])

    def keep_replicas(self, tags: Collection[int]) -> None:
        """Free the slots of all replicas but these."""
        if self.count == 1:
            return
        for slot, tag in enumerate(self._own_tags()):
            if tag and tag not in tags:
                at = self.index * MAX_REPLICAS + slot
                for numbers in self._of_replicas.values():
                    numbers[at] = 0
                self._tags[at] = 0
                self._has_changed()

    def _has_changed(self) -> None:
        """Let others search for tags again; called once these have changed."""
        self.figure(REPLICAS_CHANGED).own += 1

    def clear(self) -> None:
        """Remove the figures of this process, which has ended."""
        for (name, _), figure in self._figures.items():
            if name not in COUNTED_FOR_EVER:
                figure.own = 0
        if self.count == 1:
            return
        start = self.index * MAX_REPLICAS
        for (name, _), numbers in self._of_replicas.items():
            if name not in COUNTED_FOR_EVER:
                numbers[start : start + MAX_REPLICAS] = memoryview(bytes(NO_NUMBERS)).cast("d")

    def pids(self) -> dict[str, int]:
        """Return the ids of the processes that listen, by index, and the supervisor's."""
        found = {str(index): int(pid) for index, pid in enumerate(self.figure(PID)) if pid}
        if (supervisor := multiprocessing.parent_process()) and supervisor.pid:
            found["supervisor"] = supervisor.pid
        return found

    def join(self) -> None:
        """Record that this process listens."""
        self.figure(PID).own = os.getpid()

    def leave(self) -> None:
        """Record that this process listens no more."""
        self.figure(PID).own = 0
