"""One figure of all processes: each writes its own number, and all read the sum. Used by
`service.multiprocess.group`.

A number is one machine word, so reading and writing need no lock, and a process that is killed at
any point leaves a valid one.
"""

from collections.abc import Iterator
from typing import Protocol

WORD_BYTES = 8


class Figure(Protocol):
    """One figure of all processes."""

    own: float

    def total(self) -> float:
        """Add up all processes' numbers."""

    def __iter__(self) -> Iterator[float]:
        """Iterate over the numbers, in the order of the processes."""


class SingleFigure:
    """A figure of one process alone."""

    __slots__ = ("own",)

    def __init__(self, own: float = 0.0) -> None:
        self.own = own

    def total(self) -> float:
        return self.own

    def __iter__(self) -> Iterator[float]:
        yield self.own


class SharedFigure:
    """A figure of several processes, and which of the numbers is this process's own."""

    __slots__ = ("_index", "_numbers")

    def __init__(self, numbers: "memoryview[float]", index: int) -> None:
        self._numbers = numbers
        self._index = index

    @property
    def own(self) -> float:
        found: float = self._numbers[self._index]
        return found

    @own.setter
    def own(self, number: float) -> None:
        self._numbers[self._index] = number

    def total(self) -> float:
        return sum(self._numbers)

    def __iter__(self) -> Iterator[float]:
        return iter(self._numbers)
