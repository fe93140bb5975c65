"""The gateway's processes as each of them sees the others: which one this is, how many there are,
and some figures of each, in memory that they share.

A figure is one number a process, which that process alone writes, as one machine word: so reading
and writing need no lock, and a process that is killed at any point leaves valid figures. The
supervisor clears them before it starts another in its place. Made by `service.server`, used by all
that has one limit for all processes.
"""

import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
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
# of each model and, under "", of all models together
IMAGES, BODY_BYTES, SECONDS = "images", "body_bytes", "seconds"
# what TorchServe has: requests, and predicted seconds of their images
SENT_REQUESTS, SENT_SECONDS = "sent_requests", "sent_seconds"
OF_PROCESS = (PID, HEARTBEAT, CONNECTIONS, ANSWERED_S)
OF_MODEL = (IMAGES, BODY_BYTES, SECONDS, SENT_REQUESTS, SENT_SECONDS)


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
        self._memory = memory or SharedMemory(len(names) * count * WORD_BYTES)
        numbers = self._memory.view.cast("d")
        self._figures = {
            name: SharedFigure(numbers[start * count : (start + 1) * count], index)
            for start, name in enumerate(names)
        }

    def __reduce__(self) -> tuple[type["ProcessGroup"], tuple[object, ...]]:
        return ProcessGroup, (self._models, self.count, self.index, self._memory)

    def at(self, index: int) -> "ProcessGroup":
        """Return the group as another of its processes sees it."""
        return ProcessGroup(self._models, self.count, index, self._memory)

    def figure(self, name: str, model: str = "") -> Figure:
        """Return a figure, of one model or of all together."""
        return self._figures[name, model]

    def clear(self) -> None:
        """Remove the figures of this process, which has ended."""
        for (name, _), figure in self._figures.items():
            if name != ANSWERED_S:
                figure.own = 0

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
