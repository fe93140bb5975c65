"""Who is next: the images that wait for TorchServe, in order of arrival but for sizes that fit
together.

What is handed over one after the other shares batches, and in a batch photos of like sizes share
canvases with little padding. So of the first few that wait, the one goes next that fits the last
one best; none is overtaken more than a few times. Pure bookkeeping; called by `service.handover`.
"""

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

FRAME_STRIDE = 32  # the worker's canvases have sides that this divides
BATCHES = 2  # per worker: the one in hand and the next
LOOK_AHEAD = 16
MOST_OVERTAKEN = 16


class Frame(NamedTuple):
    """The smallest canvas that the worker can put a photo on."""

    height: int
    width: int

    @classmethod
    def of(cls, height: int, width: int) -> "Frame":
        return cls(*(-(-side // FRAME_STRIDE) * FRAME_STRIDE for side in (height, width)))

    @property
    def pixels(self) -> int:
        return self.height * self.width

    def padding_beside(self, other: "Frame") -> int:
        """Count the pixels that two photos leave empty on a canvas that holds either."""
        canvas = max(self.height, other.height) * max(self.width, other.width)
        return 2 * canvas - self.pixels - other.pixels


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may be handed over at a time: images, and predicted seconds of a worker."""

    images: int
    seconds: float

    @classmethod
    def of(cls, workers: int, batch_size: int, seconds: float) -> "Bounds":
        """Two batches a worker; TorchServe may put any of them into one batch, so all of them
        together take no more `seconds` than one batch may.
        """
        return cls(BATCHES * workers * batch_size, seconds)

    def share(self, processes: int) -> "Bounds":
        """Take one process's part of what all of a gateway's may hand over; never nothing."""
        return Bounds(max(1, self.images // processes), self.seconds / processes)


@dataclass(frozen=True, slots=True)
class Parcel:
    """What the line knows of an image: when it came, its size, what it costs (predicted seconds),
    and the bounds that hold for it.
    """

    ticket: int
    frame: Frame
    seconds: float
    bounds: Bounds

    @property
    def is_next(self) -> bool:
        """Once there is room for it, nothing may take that room: there is, with nothing else."""
        return self.seconds > self.bounds.seconds


class Waiter(Protocol):
    """Somebody with a parcel, who may have left."""

    parcel: Parcel
    overtaken: int

    @property
    def has_left(self) -> bool: ...


W = TypeVar("W", bound=Waiter)


class Line(Generic[W]):
    """The images that wait, by the tickets that they drew when they came."""

    def __init__(self) -> None:
        self._waiters: list[W] = []
        self._last = Frame(0, 0)

    def add(self, waiter: W) -> None:
        """Put one where its ticket belongs: who comes back from a crash goes to the front."""
        insort(self._waiters, waiter, key=lambda each: each.parcel.ticket)

    def take(self, has_room: Callable[[Parcel], bool]) -> W | None:
        """Take the next one out; none while there is no room for the first."""
        self._waiters = [each for each in self._waiters if not each.has_left]
        if not self._waiters or not has_room(self._waiters[0].parcel):
            return None
        place = self._best(has_room)
        for overtaken in self._waiters[:place]:
            overtaken.overtaken += 1
        chosen = self._waiters.pop(place)
        self._last = chosen.parcel.frame
        return chosen

    def _best(self, has_room: Callable[[Parcel], bool]) -> int:
        """Find the place of the one that fits the last one best, of the first few."""
        first = self._waiters[0]
        if first.parcel.is_next or first.overtaken >= MOST_OVERTAKEN:
            return 0
        return min(
            (
                place
                for place, each in enumerate(self._waiters[:LOOK_AHEAD])
                if not each.parcel.is_next and has_room(each.parcel)
            ),
            key=lambda place: self._last.padding_beside(self._waiters[place].parcel.frame),
        )
