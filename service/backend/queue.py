"""The queue in front of TorchServe: in order of arrival, except that photos of similar sizes go
together.

The images of a request are a batch of the worker, and in a batch photos of similar sizes share
canvases with little padding. So a request begins with the first entry, and of the first few the one
that pads least beside the last one is next; no entry is overtaken more than a few times. Entries
come in, the next one goes out: no I/O. Called by `service.backend.dispatcher`.
"""

import math
from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Generic, NamedTuple, Protocol, TypeVar

from handlers.shared.frame import Frame

FRAME_STRIDE = 32  # the worker's canvases have sides that this divides
REQUESTS_PER_WORKER = 2  # the one that it computes and the next
MAX_CANDIDATES = 16
MAX_OVERTAKEN = 16


@dataclass(frozen=True, slots=True)
class DispatchLimits:
    """How much TorchServe may have at a time: requests, images in each, and predicted seconds of a
    worker for all of them.

    Images of more than `exclusive_s` are exclusive: they do not count here, and each takes one of
    the `workers` (see `service.backend.exclusive`).
    """

    requests: int
    images: int
    seconds: float
    workers: int = 1
    exclusive_s: float = math.inf

    @classmethod
    def of(
        cls, workers: int, batch_size: int, seconds: float, exclusive_s: float
    ) -> "DispatchLimits":
        """Allow two requests a worker, of one batch each; all together take no more `seconds` than
        one may.
        """
        return cls(REQUESTS_PER_WORKER * workers, batch_size, seconds, workers, exclusive_s)

    def in_unit_of(self, other: "DispatchLimits") -> "DispatchLimits":
        """Return the same limits in the predicted seconds of another card, which a machine of
        another speed may have: an image that is just long is so on both.
        """
        if self is other or not 0 < self.exclusive_s < math.inf or other.exclusive_s == math.inf:
            return self
        ratio = other.exclusive_s / self.exclusive_s
        return replace(self, seconds=self.seconds * ratio, exclusive_s=other.exclusive_s)


class QueueEntry(NamedTuple):
    """An image as the queue sees it: its number in order of arrival, its size for the network and
    its own, its predicted cost, and the limits that hold for it.
    """

    sequence: int
    frame: Frame
    cost_s: float
    limits: DispatchLimits
    body_bytes: int = 0
    pixels: int = 0
    is_suspect: bool = False  # a worker has crashed with it in work
    avoid: str = ""  # the replica that has lost it or refused it: another is tried first
    prefer: str = ""  # the replica that knows what it does: it waits for that one

    @property
    def is_exclusive(self) -> bool:
        """Whether the others in its batch would wait for it."""
        return self.cost_s > self.limits.exclusive_s

    @property
    def goes_alone(self) -> bool:
        """Whether it shares no request with others."""
        return self.is_exclusive or self.is_suspect

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

    def __len__(self) -> int:
        return len(self._queued)

    def add(self, queued: Q) -> None:
        """Insert by sequence number: an image that is sent again goes before those that arrived
        after it.
        """
        insort(self._queued, queued, key=lambda each: each.entry.sequence)

    def remove(self, queued: Q) -> bool:
        """Remove an entry; return whether it was still in the queue."""
        is_queued = queued in self._queued
        if is_queued:
            self._queued.remove(queued)
        return is_queued

    def take(
        self,
        has_room: Callable[[QueueEntry], bool],
        is_held_back: Callable[[QueueEntry], bool],
        beside: Frame | None = None,
    ) -> Q | None:
        """Remove and return the next one: the first that is not held back, or the one that pads
        least beside that frame; None while there is no room for the first.
        """
        ready = (
            each for each in self._queued if not each.is_cancelled and not is_held_back(each.entry)
        )
        first_few = list(islice(ready, MAX_CANDIDATES if beside else 1))
        if not first_few or not has_room(first_few[0].entry):
            return None
        chosen = self._best(first_few, has_room, beside) if beside else first_few[0]
        for overtaken in first_few[: first_few.index(chosen)]:
            overtaken.overtaken += 1
        self._queued.remove(chosen)
        return chosen

    def first(self, is_held_back: Callable[[QueueEntry], bool]) -> Q | None:
        """Return the first that is not held back, without removing it."""
        for each in self._queued:
            if not each.is_cancelled and not is_held_back(each.entry):
                return each
        return None

    def seconds(self) -> float:
        """Return what is predicted for all; any thread may ask."""
        return sum(each.entry.cost_s for each in list(self._queued))

    def has_shared(self) -> bool:
        """Return whether an image waits that is not exclusive."""
        return any(not each.entry.is_exclusive for each in self._queued if not each.is_cancelled)

    def _best(self, first_few: list[Q], has_room: Callable[[QueueEntry], bool], beside: Frame) -> Q:
        """Return the one of the first few that pads least."""
        first = first_few[0]
        if first.entry.is_never_overtaken or first.overtaken >= MAX_OVERTAKEN:
            return first
        fitting = (
            each for each in first_few if not each.entry.is_never_overtaken and has_room(each.entry)
        )
        return min(fitting, key=lambda each: beside.padding_beside(each.entry.frame))
