"""Timers that end a connection whose client makes no progress. Used by
`service.server.http1.connection`.
"""

import asyncio
import math
from collections.abc import Callable

from service.server.http1.connection_limits import WRITE_STEP_BYTES

# the event loop's clock and timers have whole milliseconds
CLOCK_S = 0.001


class Timer:
    """Calls `on_time` once, unless it is started anew or stopped before.

    Most timers of a connection are moved with each request and never end. A timer that is moved
    leaves the loop's as it is, which then waits for the rest: to move it costs a tenth of a loop's
    timer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_time: Callable[[], None]) -> None:
        self._loop = loop
        self._on_time = on_time
        self._due_s = math.inf  # it does not run
        self._handle: asyncio.TimerHandle | None = None
        self._handle_s = math.inf  # when the loop's timer ends

    def start(self, seconds: float) -> None:
        """Start, or start anew."""
        self._due_s = self._loop.time() + seconds
        if self._due_s < self._handle_s:
            self._arm()

    def stop(self) -> None:
        self._due_s = math.inf

    @property
    def is_running(self) -> bool:
        return self._due_s < math.inf

    def close(self) -> None:
        """Stop for ever, and release the connection."""
        self.stop()
        self._on_time = lambda: None
        if self._handle is not None:
            self._handle.cancel()

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle_s = self._due_s
        self._handle = self._loop.call_at(self._due_s, self._check)

    def _check(self) -> None:
        self._handle, self._handle_s = None, math.inf
        if not self.is_running:
            return
        if self._due_s > self._loop.time() + CLOCK_S:
            self._arm()
        else:
            self.stop()
            self._end()

    def _end(self) -> None:
        self._on_time()


class ReadTimer(Timer):
    """Runs while the client owes a request's head, or the rest of a body that is not read.

    It starts again where such a rest arrives at the minimum rate: its client reads the answer once
    it has sent everything.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        min_bytes_per_s: int,
        on_timeout: Callable[[], None],
    ) -> None:
        super().__init__(loop, on_timeout)
        self._min_bytes_per_s = min_bytes_per_s
        self._seconds = 0.0
        self.unread_bytes = 0  # that arrived since the start, and that no route reads
        self.may_restart = True

    def start(self, seconds: float) -> None:
        self.unread_bytes = 0
        self._seconds = seconds
        super().start(seconds)

    def _end(self) -> None:
        if self.may_restart and self.unread_bytes >= self._seconds * self._min_bytes_per_s:
            self.start(self._seconds)
        else:
            super()._end()


class WriteTimer(Timer):
    """Runs while answers wait in the write buffer; aborts the connection of a client that takes
    less than WRITE_STEP_BYTES in `write_timeout_s`.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, timeout_s: float
    ) -> None:
        super().__init__(loop, transport.abort)
        self._transport = transport
        self._timeout_s = timeout_s
        self._before_bytes = 0

    def watch(self) -> None:
        """Start, or start anew; not where the buffer is empty."""
        self._before_bytes = self._transport.get_write_buffer_size()
        if self._before_bytes:
            self.start(self._timeout_s)
        else:
            self.stop()

    def _end(self) -> None:
        left_bytes = self._transport.get_write_buffer_size()
        if left_bytes > max(0, self._before_bytes - WRITE_STEP_BYTES):
            super()._end()
        else:
            self.watch()
