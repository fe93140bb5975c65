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

from service.backend.exclusive import LongImages
from service.backend.queue import Bounds, Frame, Line, Parcel
from service.metrics.queue import ModelLine

T = TypeVar("T")


@dataclass(slots=True)
class Waiter:
    """An image in the line; `turn` brings its job when that has begun, or is cancelled."""

    parcel: Parcel
    job: Callable[[], Coroutine[Any, Any, Any]]
    overtaken: int = 0
    turn: "asyncio.Future[asyncio.Task[Any]]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def has_left(self) -> bool:
        return self.turn.cancelled()


class Handover:
    """One model's line and gate: who waits for another model's workers is in another line."""

    def __init__(self, metrics: ModelLine) -> None:
        self._metrics = metrics
        self._line: Line[Waiter] = Line()
        self._tickets = count()
        self._jobs: set[asyncio.Task[Any]] = set()
        self._long = LongImages(self._advance)
        self._short_images = 0
        self._short_seconds = 0.0
        self.images = 0
        self.seconds = 0.0

    def parcel(self, frame: Frame, seconds: float, bounds: Bounds) -> Parcel:
        """Draw a ticket: an image keeps its place in the order however often it is tried."""
        return Parcel(next(self._tickets), frame, seconds, bounds)

    async def run(self, parcel: Parcel, job: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Wait for room, then have `job` done and return what it returns.

        A caller that is cancelled leaves the line; once its job has begun that goes on to its end,
        and holds its room until then.
        """
        waiter = Waiter(parcel, job)
        self._line.add(waiter)
        self._advance()
        with self._metrics.waiting(parcel.seconds):
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
        self._count(1, waiter.parcel)
        task = asyncio.create_task(waiter.job())
        self._jobs.add(task)
        self._long.begun(waiter.parcel, task)
        task.add_done_callback(partial(self._done, waiter.parcel))
        return task

    def _has_room(self, parcel: Parcel) -> bool:
        if parcel.is_long:
            return not self._long.would_share()
        if self._short_images == 0:
            return True
        bounds = parcel.bounds
        has_seconds = self._short_seconds + parcel.seconds <= bounds.seconds
        return has_seconds and self._short_images < bounds.images

    def _is_held_back(self, parcel: Parcel) -> bool:
        if not parcel.is_long:  # nearly all: the line is not looked through for them
            return False
        return self._long.is_held_back(parcel.bounds, has_short=self._line.has_short())

    def _done(self, parcel: Parcel, task: "asyncio.Task[Any]") -> None:
        self._jobs.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: where the caller has left it is nobody's
        self._count(-1, parcel)
        self._long.done(parcel, task)
        self._advance()

    def _count(self, images: int, parcel: Parcel) -> None:
        self.images += images
        self.seconds += images * parcel.seconds
        if not parcel.is_long:
            self._short_images += images
            self._short_seconds += images * parcel.seconds
        self._metrics.hand_over(images, images * parcel.seconds)
