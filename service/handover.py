"""The line in front of TorchServe: an image is handed over once there is room, in order of arrival.

TorchServe's queue cannot be cleaned: it runs the jobs of clients that have gone. So it holds the
batch in hand and the next one, and all others wait here, where the expired and the abandoned just
leave. Called by `service.segment`, once an image.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from service.line_metrics import LineMetrics

FRAME_STRIDE = 32  # the worker's canvases have sides that this divides
BATCHES = 2  # per worker: the one in hand and the next

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may be handed over at a time."""

    images: int
    pixels: int

    @classmethod
    def of(cls, workers: int, batch_size: int, group_pixels: int) -> "Bounds":
        """Two batches a worker, and for each of their images a forward pass's worth of pixels."""
        images = BATCHES * workers * batch_size
        return cls(images, images * group_pixels)

    def share(self, processes: int) -> "Bounds":
        """Take one process's part of what all of a gateway's may hand over; never nothing."""
        return Bounds(max(1, self.images // processes), max(1, self.pixels // processes))


@dataclass(frozen=True, slots=True)
class Waiter:
    """An image in the line; `turn` brings its job when that has begun, or is cancelled."""

    pixels: int
    bounds: Bounds
    job: Callable[[], Coroutine[Any, Any, Any]]
    turn: "asyncio.Future[asyncio.Task[Any]]"


class Handover:
    """One model's line; its metrics may be shared with those of others."""

    def __init__(self, metrics: LineMetrics) -> None:
        self._metrics = metrics
        self._line: deque[Waiter] = deque()
        self._jobs: set[asyncio.Task[Any]] = set()
        self.images = 0
        self.pixels = 0

    async def run(
        self, pixels: int, bounds: Bounds, job: Callable[[], Coroutine[Any, Any, T]]
    ) -> T:
        """Wait for room within `bounds`, then have `job` done and return what it returns.

        A caller that is cancelled leaves the line; once its job has begun that goes on to its end,
        and holds its room until then. An image above the bound on pixels goes when it is alone.
        """
        turn = asyncio.get_running_loop().create_future()
        self._line.append(Waiter(pixels, bounds, job, turn))
        self._advance()
        with self._metrics.waiting(pixels):
            try:
                task: asyncio.Task[T] = await turn
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
        """Let in from the front of the line while there is room."""
        while self._line:
            first = self._line[0]
            if not first.turn.cancelled():
                if not self._has_room(first):
                    return
                first.turn.set_result(self._begin(first))
            self._line.popleft()

    def _begin(self, image: Waiter) -> "asyncio.Task[Any]":
        """Here and not in `run`, which goes on a moment later: jobs begin in the line's order."""
        self._count(1, image.pixels)
        task = asyncio.create_task(image.job())
        self._jobs.add(task)
        task.add_done_callback(partial(self._done, image.pixels))
        return task

    def _has_room(self, image: Waiter) -> bool:
        if self.images == 0:
            return True
        return (
            self.images < image.bounds.images and self.pixels + image.pixels <= image.bounds.pixels
        )

    def _done(self, pixels: int, task: "asyncio.Task[Any]") -> None:
        self._jobs.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: where the caller has left it is nobody's
        self._count(-1, -pixels)
        self._advance()

    def _count(self, images: int, pixels: int) -> None:
        self.images += images
        self.pixels += pixels
        self._metrics.hand_over(images, pixels)


def frame_pixels(height: int, width: int) -> int:
    """Count the pixels of the smallest canvas that the worker can put a photo on."""
    frame_height, frame_width = (
        -(-side // FRAME_STRIDE) * FRAME_STRIDE for side in (height, width)
    )
    return frame_height * frame_width
