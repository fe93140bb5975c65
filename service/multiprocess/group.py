"""The gateway's processes as each of them sees the others: which one this is, how many there are,
and some figures of each, in memory that they share.

A figure is one number a process, which that process alone writes (`service.multiprocess.figure`).
The supervisor clears a process's figures before it starts another in its place. Made by
`service.server`, used by all that has one limit for all processes.
"""

import multiprocessing
import os
from collections.abc import Mapping, Sequence

from service.multiprocess.figure import WORD_BYTES, Figure, SharedFigure, SingleFigure
from service.multiprocess.replica_figures import ReplicaFigures, words_of
from service.multiprocess.shared_memory import SharedMemory

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
COUNTED_FOR_EVER = {ANSWERED_S, REPLICAS_CHANGED}


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
        replica_words = words_of(models, count)
        if count == 1:
            self._figures = {name: SingleFigure() for name in names}
            of_replicas = memoryview(bytearray(replica_words * WORD_BYTES)).cast("d")
        else:
            words = count * len(names)
            self._memory = memory or SharedMemory((words + replica_words) * WORD_BYTES)
            numbers: memoryview[float] = self._memory.view.cast("d")
            self._figures = {
                name: SharedFigure(numbers[start * count : (start + 1) * count], index)
                for start, name in enumerate(names)
            }
            of_replicas = numbers[words:]
        changes = self._figures[REPLICAS_CHANGED, ""]
        self.replicas = ReplicaFigures(models, count, index, of_replicas, changes)

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
            if name not in COUNTED_FOR_EVER:
                figure.own = 0
        self.replicas.clear()

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
