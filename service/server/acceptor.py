"""Accepts the connections of a listener that several processes share, so that each gets as many.

All processes are woken for a new connection, and the first one takes it: an idle machine's clients
would often all be served by one process, and for as long as they keep their connections. So a
process that has more connections than another pauses for a moment before it accepts, in which the
others come first; where they do not (busy, or hung), it accepts all the same.

Our own, because a listener for each process (SO_REUSEPORT) spreads connections at random, loses
those that a killed process has not accepted, and leaves those of a hung one without an answer.
Used by `service.server.server`.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from service.multiprocess.group import CONNECTIONS, PID, ProcessGroup

# for processes with fewer connections to accept first: they need a tenth of it
PAUSE_S = 0.001
# after an error, as asyncio: nearly always there are too many open files
ERROR_PAUSE_S = 1.0

logger = structlog.get_logger("fcnserve.gateway")


class Acceptor:
    """One process's way to accept from a shared listener."""

    def __init__(
        self,
        listener: socket.socket,
        group: ProcessGroup,
        open_connections: Callable[[], int],
        connect: Callable[[socket.socket], Coroutine[Any, Any, object]],
    ) -> None:
        """Take how many connections this process has, and what serves an accepted one."""
        listener.setblocking(False)
        self._listener = listener
        self._running = group.figure(PID)
        self._connections = group.figure(CONNECTIONS)
        self._open_connections = open_connections
        self._connect = connect
        self._connecting: set[asyncio.Task[object]] = set()
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Accept from now on."""
        self._pause = None
        self._loop.add_reader(self._listener, self._on_connection)

    def stop(self) -> None:
        """Accept no more; connections that are complete stay with the listener."""
        self._loop.remove_reader(self._listener)
        if self._pause is not None:
            self._pause.cancel()

    def _on_connection(self) -> None:
        """Accept one, or let others come first."""
        self.count()
        if self._connections.own > self._fewest():
            self._pause_for(PAUSE_S, self._accept_and_go_on)
        else:
            self._accept()

    def count(self) -> None:
        """Show the other processes how many connections this one has."""
        self._connections.own = self._open_connections() + len(self._connecting)

    def _fewest(self) -> float:
        """The connections of the process that has fewest, of those that run."""
        return min(
            number for pid, number in zip(self._running, self._connections, strict=True) if pid
        )

    def _pause_for(self, seconds: float, then: Callable[[], None]) -> None:
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(seconds, then)

    def _accept_and_go_on(self) -> None:
        self.start()
        self._accept()

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # another process was first
            return
        except OSError as error:
            logger.error("cannot accept a connection", reason=str(error))
            self._pause_for(ERROR_PAUSE_S, self.start)
            return
        client.setblocking(False)
        task = self._loop.create_task(self._connect(client))
        self._connecting.add(task)
        task.add_done_callback(self._connected)
        self.count()

    def _connected(self, task: "asyncio.Task[object]") -> None:
        self._connecting.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved here: a client that has gone is no error
