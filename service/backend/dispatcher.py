"""The dispatcher in front of TorchServe: images are sent once a replica has room for them, and
those that wait together go in one request.

TorchServe's queue cannot be cleaned: it runs the requests of clients that have disconnected. So it
gets the request that a worker computes and the next one, and all other images wait here
(`service.backend.queue`), where those that expire or are cancelled are simply removed. Each request
is a batch of a worker, of the replica that will be done with it first. An entry and an image come
in, the image's answer goes out. Called by `service.pipeline.dispatch`, once for each attempt at an
image; sends by `service.backend.attempt`.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Generic, TypeVar

from handlers.shared.frame import Frame
from service.backend.queue import DispatchLimits, ImageQueue, QueueEntry
from service.backend.replicas.choice import Choice, choose, for_exclusive
from service.backend.replicas.ready import ReadyReplicas
from service.backend.replicas.replica import ModelReplica
from service.backend.replicas.replica_set import ModelReplicas
from service.errors import NotReadyError
from service.metrics.queue import ModelQueueMetrics

Image = TypeVar("Image")
Answer = TypeVar("Answer")

NO_REPLICA = "no worker is known that may take this image; they may be starting: try again shortly"


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
    """One model's queue and the replicas that take its images: each model has its own workers."""

    def __init__(
        self,
        metrics: ModelQueueMetrics,
        send: Callable[
            [ModelReplica, Sequence[Image]], Coroutine[Any, Any, Sequence[Answer | Exception]]
        ],
        replicas: ModelReplicas,
    ) -> None:
        """Take the function that sends images to a replica in one request, and returns the outcome
        of each: its answer, or what its caller raises.
        """
        self.images_sent = 0
        self.seconds_sent = 0.0
        self._send = send
        self._replicas = replicas
        self._queue: ImageQueue[Waiter[Image, Answer]] = ImageQueue()
        metrics.images_waiting.follow(self._queue.__len__)
        metrics.seconds_waiting.follow(self._queue.seconds)
        metrics.images_dispatched.follow(lambda: self.images_sent)
        metrics.seconds_dispatched.follow(lambda: self.seconds_sent)
        self._sequence = count()
        self._requests: set[asyncio.Task[None]] = set()
        self._will_advance = False
        self._exclusive_ready: tuple[DispatchLimits, ReadyReplicas] | None = None
        replicas.on_change.append(self._advance_if_any_waits)

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

    def _advance_if_any_waits(self) -> None:
        if self._queue:
            self._advance_soon()

    def _advance(self) -> None:
        """Send the next requests while there is room."""
        self._will_advance = False
        self._exclusive_ready = None
        while self._queue and (choice := self._choose()):
            self._start(choice.replica, self._take(choice))
            self._exclusive_ready = None

    def _choose(self) -> Choice | None:
        """Choose a replica for the next request; None while none has room."""
        if self._replicas.is_impossible:
            self._refuse_all()
            return None
        first = self._queue.first(self._is_held_back)
        if first is None:
            return None
        entry, ready = first.entry, self._replicas.ready
        if entry.is_exclusive:
            ready = self._for_exclusive(entry)
        return choose(entry, len(self._queue), ready)

    def _take(self, choice: Choice) -> list[Waiter[Image, Answer]]:
        """Take the images of the next request from the queue."""
        waiters: list[Waiter[Image, Answer]] = []
        request = choice.request
        while self._queue and (
            waiter := self._queue.take(
                choice.has_room, self._is_held_back, beside=request.last_frame
            )
        ):
            request.add(waiter.entry)
            waiters.append(waiter)
        return waiters

    def _is_held_back(self, entry: QueueEntry) -> bool:
        if not entry.goes_alone:  # nearly all: the queue is not searched for them
            return False
        if self._waits_for_preferred(entry):
            return True
        return entry.is_exclusive and not self._for_exclusive(entry)

    def _waits_for_preferred(self, entry: QueueEntry) -> bool:
        """Return whether the replica that the image is for restarts."""
        replicas = self._replicas
        return replicas.has(entry.prefer) and all(
            each.name != entry.prefer for each in replicas.ready
        )

    def _for_exclusive(self, entry: QueueEntry) -> ReadyReplicas:
        """Return the replicas for exclusive images, found once between two requests."""
        if self._exclusive_ready is None or self._exclusive_ready[0] is not entry.limits:
            ready, has_shared = self._replicas.ready, self._queue.has_shared()
            found = for_exclusive(entry, ready, has_shared_waiting=has_shared)
            self._exclusive_ready = entry.limits, found
        return self._exclusive_ready[1]

    def _refuse_all(self) -> None:
        """Answer all that wait: no replica may take them."""
        while waiter := self._queue.first(lambda _: False):
            self._queue.remove(waiter)
            waiter.resolve(NotReadyError(NO_REPLICA))

    def _start(self, replica: ModelReplica, waiters: Sequence[Waiter[Image, Answer]]) -> None:
        entries = [waiter.entry for waiter in waiters]
        self._count(entries, 1)
        work_s = replica.take(entries)
        request = asyncio.create_task(self._run(replica, work_s, waiters))
        self._requests.add(request)
        request.add_done_callback(partial(self._done, replica, entries))

    async def _run(
        self, replica: ModelReplica, work_s: float, waiters: Sequence[Waiter[Image, Answer]]
    ) -> None:
        """Send a request, and pass each image's outcome to its caller."""
        outcomes: Sequence[Answer | Exception]
        started = time.monotonic()
        try:
            outcomes = await self._send(replica, [waiter.image for waiter in waiters])
        except Exception as error:  # noqa: BLE001 - a defect, which each caller raises
            outcomes = [error] * len(waiters)
        if not isinstance(outcomes[0], Exception):
            replica.measured(work_s, time.monotonic() - started, self._replicas.expected_speed)
        for waiter, outcome in zip(waiters, outcomes, strict=True):
            waiter.resolve(outcome)

    def _done(
        self,
        replica: ModelReplica,
        entries: Sequence[QueueEntry],
        request: "asyncio.Task[None]",
    ) -> None:
        self._requests.discard(request)
        self._count(entries, -1)
        replica.give_back(entries)
        self._advance()

    def _count(self, entries: Sequence[QueueEntry], sign: int) -> None:
        self.images_sent += sign * len(entries)
        self.seconds_sent += sign * sum([each.cost_s for each in entries])
