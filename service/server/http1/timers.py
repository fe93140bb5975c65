"""Timers that end a connection whose client makes no progress. Used by
`service.server.http1.connection`.
"""

import asyncio
from collections.abc import Callable

from service.server.http1.connection_limits import WRITE_STEP_BYTES


class ReadTimer:
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
        self._loop = loop
        self._min_bytes_per_s = min_bytes_per_s
        self._on_timeout = on_timeout
        self._handle: asyncio.TimerHandle | None = None
        self.unread_bytes = 0  # that arrived since the start, and that no route reads
        self.may_restart = True

    @property
    def is_running(self) -> bool:
        return self._handle is not None

    def start(self, seconds: float) -> None:
        """Start, or start anew."""
        self.stop()
        self.unread_bytes = 0
        self._handle = self._loop.call_later(seconds, self._check, seconds)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def close(self) -> None:
        """Stop, and release the connection."""
        self.stop()
        self._on_timeout = lambda: None

    def _check(self, seconds: float) -> None:
        self._handle = None
        if self.may_restart and self.unread_bytes >= seconds * self._min_bytes_per_s:
            self.start(seconds)
        else:
            self._on_timeout()


class WriteTimer:
    """Runs while answers wait in the write buffer; aborts the connection of a client that takes
    less than WRITE_STEP_BYTES in `write_timeout_s`.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, timeout_s: float
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._timeout_s = timeout_s
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start, or start anew; not where the buffer is empty."""
        self.stop()
        if left_bytes := self._transport.get_write_buffer_size():
            self._handle = self._loop.call_later(self._timeout_s, self._check, left_bytes)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _check(self, before_bytes: int) -> None:
        self._handle = None
        left_bytes = self._transport.get_write_buffer_size()
        if left_bytes > max(0, before_bytes - WRITE_STEP_BYTES):
            self._transport.abort()
        else:
            self.start()
