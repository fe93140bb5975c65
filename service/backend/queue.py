"""The queue in front of TorchServe: in order of arrival, except that photos of similar sizes go
together.

Images that are dispatched one after the other share batches, and in a batch photos of similar sizes
share canvases with little padding. So of the first few entries the one that pads least beside the
last one is next; no entry is overtaken more than a few times. Entries come in, the next one goes
out: no I/O. Called by `service.backend.dispatcher`.
"""

import math
from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from handlers.shared.frame import Frame

FRAME_STRIDE = 32  # the worker's canvases have sides that this divides
BATCHES_PER_WORKER = 2  # the one that it computes and the next
MAX_CANDIDATES = 16
MAX_OVERTAKEN = 16


@dataclass(frozen=True, slots=True)
class DispatchLimits:
    """How much TorchServe may have at a time: images, and predicted seconds of a worker.

    Images of more than `exclusive_s` are exclusive: they do not count here, and each takes one of
    the `workers` (see `service.backend.exclusive`).
    """

    images: int
    seconds: float
    workers: int = 1
    exclusive_s: float = math.inf

    @classmethod
    def of(
        cls, workers: int, batch_size: int, seconds: float, exclusive_s: float
    ) -> "DispatchLimits":
        """Allow two batches a worker; TorchServe may put any of their images into one batch, so all
        together take no more `seconds` than one batch may.
        """
        return cls(BATCHES_PER_WORKER * workers * batch_size, seconds, workers, exclusive_s)

    def share(self, processes: int) -> "DispatchLimits":
        """Return one gateway process's part; at least one image and one worker."""
        images, workers = (max(1, count // processes) for count in (self.images, self.workers))
        return replace(self, images=images, seconds=self.seconds / processes, workers=workers)


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """An image as the queue sees it: its number in order of arrival, its size, its predicted cost,
    and the limits that hold for it.
    """

    sequence: int
    frame: Frame
    cost_s: float
    limits: DispatchLimits

    @property
    def is_exclusive(self) -> bool:
        """Whether the others in its batch would wait for it."""
        return self.cost_s > self.limits.exclusive_s

    @property
    def is_never_overtaken(self) -> bool:
        """Whether it takes the next room that is large enough: there rarely is any."""
        return self.is_exclusive or self.cost_s > self.limits.seconds


class QueuedImage(Protocol):
    """An entry, how often it has been overtaken, and whether its caller has been cancelled."""

    entry: QueueEntry
    overtaken: int

    @property
    def is_cancelled(self) -> bool: ...


Q = TypeVar("Q", bound=QueuedImage)


class ImageQueue(Generic[Q]):
    """The waiting images, sorted by their sequence numbers."""

    def __init__(self) -> None:
        self._queued: list[Q] = []
        self._last_frame = Frame(0, 0)

    def add(self, queued: Q) -> None:
        """Insert by sequence number: an image that is sent again goes before those that arrived
        after it.
        """
        insort(self._queued, queued, key=lambda each: each.entry.sequence)

    def take(
        self, has_room: Callable[[QueueEntry], bool], is_held_back: Callable[[QueueEntry], bool]
    ) -> Q | None:
        """Remove and return the next one; None while there is no room for the first that is not
        held back.
        """
        self._queued = [each for each in self._queued if not each.is_cancelled]
        ready = [each for each in self._queued if not is_held_back(each.entry)]
        if not ready or not has_room(ready[0].entry):
            return None
        chosen = self._best(ready, has_room)
        for overtaken in ready[: ready.index(chosen)]:
            overtaken.overtaken += 1
        self._queued.remove(chosen)
        self._last_frame = chosen.entry.frame
        return chosen

    def has_shared(self) -> bool:
        """Return whether an image waits that is not exclusive."""
        return any(not each.entry.is_exclusive for each in self._queued if not each.is_cancelled)

    def _best(self, ready: list[Q], has_room: Callable[[QueueEntry], bool]) -> Q:
        """Return the one of the first few that pads least beside the last one."""
        first = ready[0]
        if first.entry.is_never_overtaken or first.overtaken >= MAX_OVERTAKEN:
            return first
        fitting = (
            each
            for each in ready[:MAX_CANDIDATES]
            if not each.entry.is_never_overtaken and has_room(each.entry)
        )
        return min(fitting, key=lambda each: self._last_frame.padding_beside(each.entry.frame))
