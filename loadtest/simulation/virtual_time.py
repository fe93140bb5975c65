"""An event loop whose clock jumps to the next timer: a coroutine in, its result out, no waiting.

Code that awaits `asyncio.sleep` and futures runs unchanged, and `time.monotonic` and
`time.perf_counter` show the loop's time meanwhile. Nothing may wait for a socket or a thread: it
would wait for ever, which is an error here. Our own, because simpy's processes are generators: the
dispatcher, which is to be simulated as it is, runs on asyncio. Called by
`loadtest.simulation.cluster`.
"""

import asyncio
import selectors
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

Result = TypeVar("Result")


class WaitsForeverError(RuntimeError):
    """No timer is left, and the coroutine has not ended."""


class JumpingSelector(selectors.DefaultSelector):
    """Selects nothing, and takes the time that it would have waited for as passed."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise WaitsForeverError("what is awaited never happens: no timer is left")
        self.now_s += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's loop on that clock."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine in virtual time, from 0 s on."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner, clocks_of(runner.get_loop()):
        return runner.run(coroutine)


@contextmanager
def clocks_of(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Let the module `time` show the loop's time."""
    real = time.monotonic, time.perf_counter
    time.monotonic = time.perf_counter = loop.time
    try:
        yield
    finally:
        time.monotonic, time.perf_counter = real
