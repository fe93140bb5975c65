"""The figures of each model at each replica: each process's numbers in memory that all share.

Each process finds the replicas by itself, in any order, and writes into slots of its own; those of
the others are found by a replica's tag, once after each change of the tags. One figure of one
replica is read as a number, one of many replicas as an array: a choice among a hundred of them
takes no longer than among a few. Made by `service.multiprocess.group`.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from service.multiprocess.figure import WORD_BYTES, Figure

# replicas at a time: their figures have memory before any of them is known
MAX_REPLICAS = 256
# of a replica that a process does not have: its numbers stay 0
NO_SLOT = MAX_REPLICAS
SLOTS = MAX_REPLICAS + 1

# of each model at each replica: the requests that it has and the predicted seconds of their images,
# exclusive images apart; the seconds of all images; the measured speed; and the images that it has
# answered, and lost or refused, so far
SENT_REQUESTS, SENT_SECONDS, WORK_SECONDS = "sent_requests", "sent_seconds", "work_seconds"
SPEED = "speed"
REPLICA_ANSWERED, REPLICA_FAILED = "replica_answered", "replica_failed"
OF_REPLICA = (
    *(SENT_REQUESTS, SENT_SECONDS, WORK_SECONDS, SPEED),
    *(REPLICA_ANSWERED, REPLICA_FAILED),
)
KEPT = {REPLICA_ANSWERED, REPLICA_FAILED}  # after the end of a process

Name = tuple[str, str]  # of a figure and its model
Floats = NDArray[np.float64]


def words_of(models: Sequence[str], processes: int) -> int:
    """Return how many numbers the figures need, the tags included."""
    return (1 + len(models) * len(OF_REPLICA)) * processes * SLOTS


def tag_of(replica: str) -> int:
    """Hash a replica's name to a number that a float holds exactly; never 0."""
    return int.from_bytes(hashlib.blake2b(replica.encode(), digest_size=6).digest()) or 1


class ReplicaFigures:
    """All figures of replicas, as one process sees them."""

    def __init__(
        self,
        models: Sequence[str],
        processes: int,
        index: int,
        numbers: "memoryview[float]",
        changes: Figure,
    ) -> None:
        """Take `words_of` numbers, and how often each process has changed its tags."""
        self.processes = processes
        self.start = index * SLOTS  # of this process's numbers in each figure
        self.changes = changes
        size = processes * SLOTS
        names = [("", ""), *((name, model) for model in models for name in OF_REPLICA)]
        parts = (numbers[at * size : (at + 1) * size] for at in range(len(names)))
        self.numbers: Mapping[Name, memoryview[float]] = dict(zip(names, parts, strict=True))
        self._tags = self.numbers["", ""]
        self._seen = -1.0  # the changes that the slots below are of
        self._slots: list[dict[float, int]] = []  # of each process, by tag
        self._positions: dict[float, list[int]] = {}

    def figure(self, name: str, model: str, tag: int) -> "ReplicaFigure":
        """Return a figure of a model at a replica, which takes a slot until `keep`; raises
        ValueError where all MAX_REPLICAS are taken.
        """
        return ReplicaFigure(self, self.numbers[name, model], tag, self.start + self._slot(tag))

    def keep(self, tags: Collection[int]) -> None:
        """Free this process's slots of all replicas but these."""
        for slot, tag in enumerate(self._own_tags()):
            if tag and tag not in tags:
                for name, numbers in self.numbers.items():
                    if name != ("", ""):
                        numbers[self.start + slot] = 0
                self._tags[self.start + slot] = 0
                self._has_changed()

    def clear(self) -> None:
        """Remove the figures of this process, which has ended, except those that are kept."""
        for (name, _), numbers in self.numbers.items():
            if name and name not in KEPT:
                zeros = memoryview(bytes(SLOTS * WORD_BYTES)).cast("d")
                numbers[self.start : self.start + SLOTS] = zeros
        self._has_changed()  # it may have ended before it could

    def positions(self, tag: float) -> list[int]:
        """Return where each process has its number of a replica, in each figure."""
        if (seen := self.changes.total()) != self._seen:
            self._find_slots()
            self._positions.clear()
            self._seen = seen
        found = self._positions.get(tag)
        if found is None:
            found = self._positions[tag] = [
                process * SLOTS + slots.get(tag, NO_SLOT)
                for process, slots in enumerate(self._slots)
            ]
        return found

    def _find_slots(self) -> None:
        tags = self._tags.tolist()
        starts = range(0, len(tags), SLOTS)
        self._slots = [
            {tag: slot for slot, tag in enumerate(tags[start : start + MAX_REPLICAS]) if tag}
            for start in starts
        ]

    def _slot(self, tag: int) -> int:
        """Find this process's slot of a replica, or take one."""
        tags = self._own_tags()
        if tag in tags:
            return tags.index(tag)
        if 0 not in tags:
            raise ValueError(f"{MAX_REPLICAS} replicas have figures already, which is the limit")
        slot = tags.index(0)
        self._tags[self.start + slot] = tag
        self._has_changed()
        return slot

    def _own_tags(self) -> Sequence[float]:
        return self._tags[self.start : self.start + MAX_REPLICAS].tolist()

    def _has_changed(self) -> None:
        """Let all search for tags again; called once these have changed."""
        self.changes.own += 1


class ReplicaFigure:
    """A figure of one replica."""

    __slots__ = ("_all", "_at", "_numbers", "_tag")

    def __init__(
        self, figures: ReplicaFigures, numbers: "memoryview[float]", tag: int, at: int
    ) -> None:
        """Take all processes' numbers of all replicas, and the position of this process's."""
        self._all = figures
        self._numbers = numbers
        self._tag = tag
        self._at = at

    @property
    def own(self) -> float:
        return self._numbers[self._at]

    @own.setter
    def own(self, number: float) -> None:
        self._numbers[self._at] = number

    def total(self) -> float:
        if self._all.processes == 1:
            return self._numbers[self._at]
        numbers = self._numbers
        return sum([numbers[at] for at in self._all.positions(self._tag)])

    def __iter__(self) -> Iterator[float]:
        return map(self._numbers.__getitem__, self._all.positions(self._tag))


class FiguresOfMany:
    """The figures of one model at several replicas, as arrays in the order of their tags."""

    def __init__(self, figures: ReplicaFigures, model: str, tags: Sequence[int]) -> None:
        self._all = figures
        self._tags = tags
        self._arrays = {
            name: np.asarray(numbers, np.float64)
            for (name, of), numbers in figures.numbers.items()
            if of == model
        }
        self._seen = -1.0
        self._positions: NDArray[np.intp]  # (processes, replicas)
        self._own: NDArray[np.intp]  # (replicas,)

    def own(self, name: str) -> Floats:
        """Return this process's numbers: (replicas,)."""
        self._find()
        return self._arrays[name].take(self._own)

    def totals(self, name: str) -> Floats:
        """Return the sums of all processes' numbers: (replicas,)."""
        if self._all.processes == 1:
            return self.own(name)
        self._find()
        totals: Floats = self._arrays[name].take(self._positions).sum(axis=0)
        return totals

    def _find(self) -> None:
        """Find the positions again where tags have changed."""
        if (seen := self._all.changes.total()) == self._seen:
            return
        self._seen = seen
        by_replica = [self._all.positions(tag) for tag in self._tags]
        self._positions = np.array(by_replica, np.intp).reshape(len(self._tags), -1).T.copy()
        self._own = self._positions[self._all.start // SLOTS]
