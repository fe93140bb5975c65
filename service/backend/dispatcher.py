"""The gate in front of TorchServe: an image is handed over once there is room.

TorchServe's queue cannot be cleaned: it runs the jobs of clients that have gone. So it holds the
batch in hand and the next one, and all others wait here (`service.backend.queue`), where the
expired and the abandoned just leave. Called by `service.pipeline.segment`, once an image.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, TypeVar

from handlers.shared.frame import Frame
from service.backend.exclusive import ExclusiveImages
from service.backend.queue import Bounds, ImageQueue, QueueEntry
from service.metrics.queue import ModelQueueMetrics

T = TypeVar("T")


@dataclass(slots=True)
class Waiter:
    """An image in the line; `turn` brings its job when that has begun, or is cancelled."""

    entry: QueueEntry
    job: Callable[[], Coroutine[Any, Any, Any]]
    overtaken: int = 0
    turn: "asyncio.Future[asyncio.Task[Any]]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def has_left(self) -> bool:
        return self.turn.cancelled()


class Dispatcher:
    """One model's line and gate: who waits for another model's workers is in another line."""

    def __init__(self, metrics: ModelQueueMetrics) -> None:
        self._metrics = metrics
        self._line: ImageQueue[Waiter] = ImageQueue()
        self._tickets = count()
        self._jobs: set[asyncio.Task[Any]] = set()
        self._long = ExclusiveImages(self._advance)
        self._short_images = 0
        self._short_seconds = 0.0
        self.images = 0
        self.seconds = 0.0

    def entry(self, frame: Frame, seconds: float, bounds: Bounds) -> QueueEntry:
        """Draw a ticket: an image keeps its place in the order however often it is tried."""
        return QueueEntry(next(self._tickets), frame, seconds, bounds)

    async def run(self, entry: QueueEntry, job: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Wait for room, then have `job` done and return what it returns.

        A caller that is cancelled leaves the line; once its job has begun that goes on to its end,
        and holds its room until then.
        """
        waiter = Waiter(entry, job)
        self._line.add(waiter)
        self._advance()
        with self._metrics.waiting(entry.seconds):
            try:
                task: asyncio.Task[T] = await waiter.turn
            except asyncio.CancelledError:
                self._advance()  # this may have been the first
                raise
        await asyncio.wait({task})  # unlike `await task`, does not cancel it when cancelled
        return task.result()

    async def close(self) -> None:
        """Cancel the jobs that nobody waits for any more."""
        jobs = list(self._jobs)
        for task in jobs:
            task.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    def _advance(self) -> None:
        """Let in who is next while there is room."""
        while not self._long.is_settling and (
            waiter := self._line.take(self._has_room, self._is_held_back)
        ):
            waiter.turn.set_result(self._begin(waiter))

    def _begin(self, waiter: Waiter) -> "asyncio.Task[Any]":
        """Here and not in `run`, which goes on a moment later: jobs begin in the line's order."""
        self._count(1, waiter.entry)
        task = asyncio.create_task(waiter.job())
        self._jobs.add(task)
        self._long.begun(waiter.entry, task)
        task.add_done_callback(partial(self._done, waiter.entry))
        return task

    def _has_room(self, entry: QueueEntry) -> bool:
        if entry.is_long:
            return not self._long.would_share()
        if self._short_images == 0:
            return True
        bounds = entry.bounds
        has_seconds = self._short_seconds + entry.seconds <= bounds.seconds
        return has_seconds and self._short_images < bounds.images

    def _is_held_back(self, entry: QueueEntry) -> bool:
        if not entry.is_long:  # nearly all: the line is not looked through for them
            return False
        return self._long.is_held_back(entry.bounds, has_short=self._line.has_short())

    def _done(self, entry: QueueEntry, task: "asyncio.Task[Any]") -> None:
        self._jobs.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: where the caller has left it is nobody's
        self._count(-1, entry)
        self._long.done(entry, task)
        self._advance()

    def _count(self, images: int, entry: QueueEntry) -> None:
        self.images += images
        self.seconds += images * entry.seconds
        if not entry.is_long:
            self._short_images += images
            self._short_seconds += images * entry.seconds
        self._metrics.hand_over(images, images * entry.seconds)
