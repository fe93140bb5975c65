"""All open connections of one process: how many there may be, and which one gives way to the next.

A connection that the server waits for (it idles, owes a part of a request, or does not take its
answer) gives way to a new one when there are as many as the limit, the one that has been silent for
longest first. Only where each is being answered a new one is turned away. Used by
`service.server.connection`.
"""

from typing import Protocol


class Yielding(Protocol):
    """A connection, as seen from here."""

    def give_way(self) -> None:
        """Begin to close, and say so to `OpenConnections.parts`."""

    def cut(self) -> None:
        """Close at once, whatever has not been read or written."""


class OpenConnections:
    """Counts those that are served and those that were told to go, as many again at most."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: set[Yielding] = set()
        # in the order of their last sign of life
        self._awaited: dict[Yielding, None] = {}
        # in the order in which they were told to go
        self._parting: dict[Yielding, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, connection: Yielding) -> bool:
        """Count a new one; tell whether there is a place for it."""
        if len(self._open) >= 2 * self._limit:
            self._cut(next(iter(self._parting)))
        has_place = self._served < self._limit or self._make_place()
        self._open.add(connection)
        return has_place

    def leave(self, connection: Yielding) -> None:
        self._open.discard(connection)
        self._awaited.pop(connection, None)
        self._parting.pop(connection, None)

    def awaits(self, connection: Yielding) -> None:
        """Note that the server waits for this one, which has just shown a sign of life."""
        self._awaited.pop(connection, None)
        self._awaited[connection] = None

    def stalls(self, connection: Yielding) -> None:
        """Note that the server waits for this one, which has shown no sign of life."""
        self._awaited.setdefault(connection)

    def serves(self, connection: Yielding) -> None:
        """Note that this one waits for the server."""
        self._awaited.pop(connection, None)

    def parts(self, connection: Yielding) -> None:
        """Note that this one has been told to go."""
        self._awaited.pop(connection, None)
        self._parting[connection] = None

    @property
    def _served(self) -> int:
        return len(self._open) - len(self._parting)

    def _make_place(self) -> bool:
        if not self._awaited:
            return False
        next(iter(self._awaited)).give_way()
        return True

    def _cut(self, connection: Yielding) -> None:
        self.leave(connection)
        connection.cut()
