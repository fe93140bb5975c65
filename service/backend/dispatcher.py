"""The dispatcher in front of TorchServe: images are sent once there is room for them, and those
that wait together go in one request.

TorchServe's queue cannot be cleaned: it runs the requests of clients that have disconnected. So it
gets the request that a worker computes and the next one, and all other images wait here
(`service.backend.queue`), where those that expire or are cancelled are simply removed. Each request
is a batch of a worker. An entry and an image come in, the image's answer goes out. Called by
`service.pipeline.dispatch`, once for each attempt at an image; sends by `service.backend.attempt`.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Generic, TypeVar

from handlers.shared.frame import Frame
from service.backend.exclusive import ExclusiveImages
from service.backend.queue import DispatchLimits, ImageQueue, QueueEntry
from service.backend.room import NextRequest, Room
from service.metrics.queue import ModelQueueMetrics

Image = TypeVar("Image")
Answer = TypeVar("Answer")


@dataclass(slots=True, eq=False)
class Waiter(Generic[Image, Answer]):
    """An image in the queue, and then in a request; `answer` is cancelled with its caller."""

    entry: QueueEntry
    image: Image
    answer: "asyncio.Future[Answer]"
    overtaken: int = 0

    @property
    def is_cancelled(self) -> bool:
        return self.answer.cancelled()

    def resolve(self, outcome: Answer | Exception) -> None:
        """Pass the outcome to the caller, unless it has been cancelled."""
        if self.answer.done():
            return
        if isinstance(outcome, Exception):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)


class Dispatcher(Generic[Image, Answer]):
    """One model's queue and what TorchServe has of it: each model has its own workers."""

    def __init__(
        self,
        metrics: ModelQueueMetrics,
        send: Callable[[Sequence[Image]], Coroutine[Any, Any, Sequence[Answer | Exception]]],
        room: Room | None = None,
    ) -> None:
        """Take the function that sends images in one request, and returns the outcome of each: its
        answer, or what its caller raises.
        """
        self.room = room = room or Room()
        self._send = send
        self._queue: ImageQueue[Waiter[Image, Answer]] = ImageQueue()
        metrics.images_waiting.follow(self._queue.__len__)
        metrics.seconds_waiting.follow(self._queue.seconds)
        metrics.images_dispatched.follow(lambda: room.images)
        metrics.seconds_dispatched.follow(lambda: room.seconds)
        self._sequence = count()
        self._requests: set[asyncio.Task[None]] = set()
        self._exclusive = ExclusiveImages(self._advance)
        self._will_advance = False

    def entry(
        self, frame: Frame, cost_s: float, limits: DispatchLimits, body_bytes: int, pixels: int
    ) -> QueueEntry:
        """Give an image its number: its position in the order stays the same at each attempt."""
        return QueueEntry(next(self._sequence), frame, cost_s, limits, body_bytes, pixels)

    async def run(self, entry: QueueEntry, image: Image) -> Answer:
        """Wait for room, then send the image and return its answer; raises what the outcome says.

        Cancellation of the caller removes the entry from the queue; an image that has been sent is
        computed to its end, and its room is taken until then.
        """
        waiter: Waiter[Image, Answer] = Waiter(
            entry, image, asyncio.get_running_loop().create_future()
        )
        self._queue.add(waiter)
        self._advance_soon()
        try:
            return await waiter.answer
        except asyncio.CancelledError:
            if self._queue.remove(waiter):
                self._advance_soon()  # this may have been the first
            raise

    async def close(self) -> None:
        """Cancel the requests that still run, for which no caller waits any more."""
        requests = list(self._requests)
        for request in requests:
            request.cancel()
        await asyncio.gather(*requests, return_exceptions=True)

    def _advance_soon(self) -> None:
        """Advance once the images that are ready at this moment are in the queue."""
        if not self._will_advance:
            self._will_advance = True
            asyncio.get_running_loop().call_soon(self._advance)

    def _advance(self) -> None:
        """Send the next requests while there is room."""
        self._will_advance = False
        while self._queue and (waiters := self._next_request()):
            self._start(waiters)

    def _next_request(self) -> list[Waiter[Image, Answer]]:
        """Take the images of the next request from the queue; none while there is no room."""
        waiters: list[Waiter[Image, Answer]] = []
        request = NextRequest(self.room, len(self._queue))
        while self._queue and (
            waiter := self._queue.take(
                request.has_room, self._is_held_back, beside=request.last_frame
            )
        ):
            request.add(waiter.entry)
            waiters.append(waiter)
        return waiters

    def _is_held_back(self, entry: QueueEntry) -> bool:
        if not entry.is_exclusive:  # nearly all: the queue is not searched for them
            return False
        has_shared = self.room.shared_images > 0 or self._queue.has_shared()
        part = entry.limits.share(self.room.processes)
        return self._exclusive.is_held_back(part, has_shared=has_shared)

    def _start(self, waiters: Sequence[Waiter[Image, Answer]]) -> None:
        entries = [waiter.entry for waiter in waiters]
        self.room.take(entries)
        self._exclusive.started(entries[0])
        request = asyncio.create_task(self._run(waiters))
        self._requests.add(request)
        request.add_done_callback(partial(self._done, entries))

    async def _run(self, waiters: Sequence[Waiter[Image, Answer]]) -> None:
        """Send a request, and pass each image's outcome to its caller."""
        outcomes: Sequence[Answer | Exception]
        try:
            outcomes = await self._send([waiter.image for waiter in waiters])
        except Exception as error:  # noqa: BLE001 - a defect, which each caller raises
            outcomes = [error] * len(waiters)
        for waiter, outcome in zip(waiters, outcomes, strict=True):
            waiter.resolve(outcome)

    def _done(self, entries: Sequence[QueueEntry], request: "asyncio.Task[None]") -> None:
        self._requests.discard(request)
        self.room.give_back(entries)
        self._exclusive.done(entries[0])
        self._advance()
