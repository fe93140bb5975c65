"""A monotonic clock that stands still between a test's steps.

In the place of the module `time` or of a function `now`, it makes a claim about seconds that have
passed independent of the machine: a stall of the process moves it by nothing.
"""

from collections.abc import Callable

from tests.support.fakes import until

START_S = 1000.0


class Clock:
    """What of the module `time` tells the time since some moment."""

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
