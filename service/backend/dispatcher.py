"""The dispatcher in front of TorchServe: an image is sent once there is room for it.

TorchServe's queue cannot be cleaned: it runs the jobs of clients that have disconnected. So it gets
the batch in hand and the next one, and all other images wait here (`service.backend.queue`), where
those that expire or are cancelled are simply removed. An entry and a job come in, the job's result
goes out. Called by `service.pipeline.dispatch`, once for each attempt at an image.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, TypeVar

from handlers.shared.frame import Frame
from service.backend.exclusive import ExclusiveImages
from service.backend.queue import DispatchLimits, ImageQueue, QueueEntry
from service.metrics.queue import ModelQueueMetrics

T = TypeVar("T")


@dataclass(slots=True)
class Waiter:
    """An image in the queue; `turn` is set to its running job, or is cancelled with its caller."""

    entry: QueueEntry
    job: Callable[[], Coroutine[Any, Any, Any]]
    overtaken: int = 0
    turn: "asyncio.Future[asyncio.Task[Any]]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def is_cancelled(self) -> bool:
        return self.turn.cancelled()


class Dispatcher:
    """One model's queue and what TorchServe has of it: each model has its own workers."""

    def __init__(self, metrics: ModelQueueMetrics) -> None:
        self._metrics = metrics
        self._queue: ImageQueue[Waiter] = ImageQueue()
        self._sequence = count()
        self._jobs: set[asyncio.Task[Any]] = set()
        self._exclusive = ExclusiveImages(self._advance)
        self._shared_images = 0
        self._shared_seconds = 0.0
        self.images = 0
        self.seconds = 0.0

    def entry(self, frame: Frame, cost_s: float, limits: DispatchLimits) -> QueueEntry:
        """Give an image its number: its position in the order stays the same at each attempt."""
        return QueueEntry(next(self._sequence), frame, cost_s, limits)

    async def run(
        self, entry: QueueEntry, job: Callable[..., Coroutine[Any, Any, T]], *arguments: Any
    ) -> T:
        """Wait for room, then run `job` with these arguments and return its result.

        Cancellation of the caller removes the entry from the queue; a job that has started runs to
        its end, and its room is taken until then.
        """
        waiter = Waiter(entry, partial(job, *arguments))
        self._queue.add(waiter)
        self._advance()
        with self._metrics.waiting(entry.cost_s):
            try:
                task: asyncio.Task[T] = await waiter.turn
            except asyncio.CancelledError:
                self._advance()  # this may have been the first
                raise
        await asyncio.wait({task})  # unlike `await task`, does not cancel it when cancelled
        return task.result()

    async def close(self) -> None:
        """Cancel the jobs that still run, for which no caller waits any more."""
        jobs = list(self._jobs)
        for task in jobs:
            task.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    def _advance(self) -> None:
        """Start the next jobs while there is room."""
        while not self._exclusive.is_settling and (
            waiter := self._queue.take(self._has_room, self._is_held_back)
        ):
            waiter.turn.set_result(self._start(waiter))

    def _start(self, waiter: Waiter) -> "asyncio.Task[Any]":
        """Start a job here and not in `run`, which resumes a moment later: so jobs start in the
        queue's order.
        """
        self._count(1, waiter.entry)
        task = asyncio.create_task(waiter.job())
        self._jobs.add(task)
        self._exclusive.started(waiter.entry, task)
        task.add_done_callback(partial(self._done, waiter.entry))
        return task

    def _has_room(self, entry: QueueEntry) -> bool:
        if entry.is_exclusive:
            return not self._exclusive.would_share_batch()
        if self._shared_images == 0:
            return True
        limits = entry.limits
        has_seconds = self._shared_seconds + entry.cost_s <= limits.seconds
        return has_seconds and self._shared_images < limits.images

    def _is_held_back(self, entry: QueueEntry) -> bool:
        if not entry.is_exclusive:  # nearly all: the queue is not searched for them
            return False
        return self._exclusive.is_held_back(entry.limits, has_shared=self._queue.has_shared())

    def _done(self, entry: QueueEntry, task: "asyncio.Task[Any]") -> None:
        self._jobs.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved here: a cancelled caller does not retrieve it
        self._count(-1, entry)
        self._exclusive.done(entry, task)
        self._advance()

    def _count(self, images: int, entry: QueueEntry) -> None:
        self.images += images
        self.seconds += images * entry.cost_s
        if not entry.is_exclusive:
            self._shared_images += images
            self._shared_seconds += images * entry.cost_s
        self._metrics.dispatched(images, images * entry.cost_s)
