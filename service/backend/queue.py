"""Who is next: the images that wait for TorchServe, in order of arrival but for sizes that fit
together.

What is handed over one after the other shares batches, and in a batch photos of like sizes share
canvases with little padding. So of the first few that wait, the one goes next that fits the last
one best; none is overtaken more than a few times. Pure bookkeeping; called by
`service.backend.dispatcher`.
"""

import math
from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from handlers.shared.frame import Frame

BATCHES = 2  # per worker: the one in hand and the next
LOOK_AHEAD = 16
MOST_OVERTAKEN = 16


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may be handed over at a time: images, and predicted seconds of a worker. Images of
    more than `long_s` are long: they do not count here, and each takes one of the `workers`.
    """

    images: int
    seconds: float
    workers: int = 1
    long_s: float = math.inf

    @classmethod
    def of(cls, workers: int, batch_size: int, seconds: float, long_s: float) -> "Bounds":
        """Two batches a worker; TorchServe may put any of them into one batch, so all of them
        together take no more `seconds` than one batch may.
        """
        return cls(BATCHES * workers * batch_size, seconds, workers, long_s)

    def share(self, processes: int) -> "Bounds":
        """Take one process's part of what all of a gateway's may hand over; never nothing."""
        images, workers = (max(1, count // processes) for count in (self.images, self.workers))
        return replace(self, images=images, seconds=self.seconds / processes, workers=workers)


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """What the line knows of an image: when it came, its size, what it costs (predicted seconds),
    and the bounds that hold for it.
    """

    sequence: int
    frame: Frame
    seconds: float
    bounds: Bounds

    @property
    def is_long(self) -> bool:
        """Others in its batch would wait for it."""
        return self.seconds > self.bounds.long_s

    @property
    def is_next(self) -> bool:
        """Once there is room for it, nothing may take that room: there is hardly ever any."""
        return self.is_long or self.seconds > self.bounds.seconds


class Waiter(Protocol):
    """Somebody with a parcel, who may have left."""

    entry: QueueEntry
    overtaken: int

    @property
    def has_left(self) -> bool: ...


W = TypeVar("W", bound=Waiter)


class ImageQueue(Generic[W]):
    """The images that wait, by the tickets that they drew when they came."""

    def __init__(self) -> None:
        self._waiters: list[W] = []
        self._last = Frame(0, 0)

    def add(self, waiter: W) -> None:
        """Put one where its ticket belongs: who comes back from a crash goes to the front."""
        insort(self._waiters, waiter, key=lambda each: each.entry.sequence)

    def take(
        self, has_room: Callable[[QueueEntry], bool], is_held_back: Callable[[QueueEntry], bool]
    ) -> W | None:
        """Take the next one out; none while there is no room for the first that is not held back
        for a reason of its own.
        """
        self._waiters = [each for each in self._waiters if not each.has_left]
        ready = [each for each in self._waiters if not is_held_back(each.entry)]
        if not ready or not has_room(ready[0].entry):
            return None
        chosen = self._best(ready, has_room)
        for overtaken in ready[: ready.index(chosen)]:
            overtaken.overtaken += 1
        self._waiters.remove(chosen)
        self._last = chosen.entry.frame
        return chosen

    def has_short(self) -> bool:
        """Tell whether an image waits that is not long."""
        return any(not each.entry.is_long for each in self._waiters if not each.has_left)

    def _best(self, ready: list[W], has_room: Callable[[QueueEntry], bool]) -> W:
        """Find the one that fits the last one best, of the first few."""
        first = ready[0]
        if first.entry.is_next or first.overtaken >= MOST_OVERTAKEN:
            return first
        fitting = (
            each for each in ready[:LOOK_AHEAD] if not each.entry.is_next and has_room(each.entry)
        )
        return min(fitting, key=lambda each: self._last.padding_beside(each.entry.frame))
