"""The replicas that take a model's images at present, and figures of all of them as arrays.

Replicas come in, once they have changed; out go, for an image, when each would be done with it and
which have an idle worker. Arrays, since each choice is among all of them. Made by
`service.backend.replicas.replica_set`, read by `service.backend.replicas.choice`.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import NDArray

from service.backend.queue import QueueEntry
from service.backend.replicas.replica import ModelReplica
from service.multiprocess.replica_figures import (
    SENT_REQUESTS,
    SPEED,
    WORK_SECONDS,
    FiguresOfMany,
    Floats,
)

Mask = NDArray[np.bool_]


class ReadyReplicas(Sequence[ModelReplica]):
    """Some replicas of one model; of no more use once their limits have changed."""

    def __init__(self, replicas: Sequence[ModelReplica] = ()) -> None:
        self._replicas = replicas
        self._workers: tuple[object, Floats] = None, np.empty(0)

    def __len__(self) -> int:
        return len(self._replicas)

    @overload
    def __getitem__(self, index: int) -> ModelReplica: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[ModelReplica]: ...

    def __getitem__(self, index: int | slice) -> ModelReplica | Sequence[ModelReplica]:
        return self._replicas[index]

    def __iter__(self) -> Iterator[ModelReplica]:
        return iter(self._replicas)

    @cached_property
    def _figures(self) -> FiguresOfMany:
        first = self._replicas[0]
        return FiguresOfMany(first.figures, first.model, [each.tag for each in self._replicas])

    def finish_s(self, more_s: float) -> Floats:
        """Predict in how many seconds each would be done with so much more work: (replicas,)."""
        figures = self._figures
        finish_s: Floats = figures.totals(WORK_SECONDS)
        finish_s += more_s
        finish_s /= figures.own(SPEED)
        return finish_s

    def are_idle(self, entry: QueueEntry) -> Mask:
        """Return which would compute another request at once: (replicas,)."""
        figures, workers = self._figures, self._workers_for(entry)
        are_idle: Mask = figures.totals(SENT_REQUESTS) < workers
        if (processes := self._replicas[0].room.processes) > 1:
            parts = np.maximum(1, workers // processes)
            are_idle |= figures.own(SENT_REQUESTS) < parts
        return are_idle

    def _workers_for(self, entry: QueueEntry) -> Floats:
        if self._workers[0] is not entry.limits:
            workers = [float(each.limits_for(entry).workers) for each in self._replicas]
            self._workers = entry.limits, np.array(workers)
        return self._workers[1]
