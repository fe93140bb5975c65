"""Time in tests, such that a stall of the machine changes no result.

A module gets a clock that moves by steps; asyncio a loop whose clock skips stalls; and on uvloop,
whose clock cannot be replaced, a test that fails beside a stall runs again.
"""

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import uvloop

from tests.support.fakes import until

START_S = 1000.0
# what one step of a loop may take; the rest is a stall
MAX_STEP_S = 0.1
POLL_S = 0.02
MAX_RUNS = 5


class Clock:
    """A monotonic clock in the place of the module `time`: it moves by a test's steps only."""

    def __init__(self) -> None:
        self.now_s = START_S

    def monotonic(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds

    async def advance_until_probed(
        self, seconds: float, silent_s: Callable[[str], float], *models: str
    ) -> None:
        """Advance, and wait until a liveness probe of each model has been answered since."""
        self.advance(seconds)
        await until(lambda: not any(map(silent_s, models)))


class SteadyLoop(asyncio.SelectorEventLoop):
    """An event loop in real time, except that no time limit expires by a stall."""

    def __init__(self) -> None:
        super().__init__(BriefSelector())
        self._read_at_s = super().time()
        self._steady_s = self._read_at_s

    def time(self) -> float:
        now_s = super().time()
        self._steady_s += min(now_s - self._read_at_s, MAX_STEP_S)
        self._read_at_s = now_s
        return self._steady_s


class BriefSelector(selectors.DefaultSelector):
    """A selector that waits for no longer than a step."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(MAX_STEP_S if timeout is None else min(timeout, MAX_STEP_S))


def on_uvloop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on uvloop, as `fcnserve gateway` does: its transports differ from asyncio's.

    A failure beside a stall proves nothing: the test runs again.
    """

    @wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        for runs_left in reversed(range(MAX_RUNS)):
            stalls = StallWatch()
            try:
                uvloop.run(stalls.beside(test(*arguments, **named)))
            except Exception:
                if not runs_left or stalls.longest_s < MAX_STEP_S:
                    raise
            else:
                return

    return run


class StallWatch:
    """The longest time in which a loop took no step."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._seen_at_s = time.monotonic()

    async def beside(self, test: Coroutine[Any, Any, None]) -> None:
        """Watch until the test ends."""
        watching = asyncio.create_task(self._watch())
        try:
            await test
        finally:
            watching.cancel()
            self._look()

    async def _watch(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(POLL_S)

    def _look(self) -> None:
        now_s = time.monotonic()
        self.longest_s = max(self.longest_s, now_s - self._seen_at_s - POLL_S)
        self._seen_at_s = now_s
