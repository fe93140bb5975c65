"""All open connections of one process: how many there may be, and which is evicted for a new one.

At the limit, a new connection takes the slot of one that the server waits for (it idles, owes a
part of a request, or does not take its answer): of the one that has been silent for longest. The
new one is refused only where every connection is being answered. Used by
`service.server.http1.connection`.

Our own, because uvicorn's limit refuses the new connection and Granian's has it wait: either way a
client that holds idle connections keeps out all others.
"""

from typing import Protocol


class Evictable(Protocol):
    """A connection, as far as `OpenConnections` uses it."""

    def evict(self) -> None:
        """Begin to close, and call `OpenConnections.mark_closing`."""

    def abort(self) -> None:
        """Close at once, whatever has not been read or written."""


class OpenConnections:
    """Counts connections that are served, and those that are closing, as many again at most."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: set[Evictable] = set()
        # that the server waits for, by the time of their last progress, oldest first
        self._awaited: dict[Evictable, None] = {}
        # by the time at which they began to close, oldest first
        self._closing: dict[Evictable, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Evictable) -> bool:
        """Count a new connection; return whether it may be served."""
        if len(self._open) >= 2 * self._limit:
            self._abort(next(iter(self._closing)))
        may_be_served = self._served < self._limit or self._evict_one()
        self._open.add(connection)
        return may_be_served

    def remove(self, connection: Evictable) -> None:
        self._open.discard(connection)
        self._awaited.pop(connection, None)
        self._closing.pop(connection, None)

    def mark_awaited(self, connection: Evictable) -> None:
        """Note that the server waits for this connection, which has just made progress."""
        self._awaited.pop(connection, None)
        self._awaited[connection] = None

    def mark_stalled(self, connection: Evictable) -> None:
        """Note that the server waits for this connection, which has made no progress."""
        self._awaited.setdefault(connection)

    def mark_answering(self, connection: Evictable) -> None:
        """Note that this connection waits for the server."""
        self._awaited.pop(connection, None)

    def mark_closing(self, connection: Evictable) -> None:
        self._awaited.pop(connection, None)
        self._closing[connection] = None

    @property
    def _served(self) -> int:
        return len(self._open) - len(self._closing)

    def _evict_one(self) -> bool:
        if not self._awaited:
            return False
        next(iter(self._awaited)).evict()
        return True

    def _abort(self, connection: Evictable) -> None:
        self.remove(connection)
        connection.abort()
