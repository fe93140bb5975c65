"""Asking again: an image whose worker has gone is asked of the next one, while that is expected.

A worker that restarts is back within seconds, and segmenting a photo twice does no harm. So whoever
waits for a mask outlives a restart, and a model is changed by restarting its worker. Called by
`service.segment` for each image; deadlines are the caller's.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from handlers.errors import ProblemError
from service.errors import NotReadyError, WorkerCrashedError, WorkerSilentError
from service.health import Health
from service.metrics import Metrics

PAUSE_S = 0.25
# of a kind; the image may be what crashes it
MOST_CRASHES = 2

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Retry:
    """How long to go on asking: as long as the worker was well less than `restart_wait_s` ago."""

    health: Health
    metrics: Metrics
    restart_wait_s: float

    async def until_answered(self, model: str, attempt: Callable[[bool], Awaitable[T]]) -> T:
        """Return what `attempt` returns; raises what it raises once there is no hope left.

        `attempt` is told whether an earlier one ended in a crash.
        """
        crashes: Counter[type[ProblemError]] = Counter()
        while True:
            started = time.monotonic()
            try:
                return await attempt(crashes.total() > 0)
            except (NotReadyError, WorkerCrashedError) as error:
                if self._is_everybodys(error, model, started):
                    if self.health.silent_s(model) > self.restart_wait_s:
                        raise
                else:
                    crashes[type(error)] += 1
                    if crashes[type(error)] == MOST_CRASHES:
                        raise
            self.metrics.retry(model)
            await asyncio.sleep(PAUSE_S)

    def _is_everybodys(self, error: Exception, model: str, started: float) -> bool:
        """Tell whether nobody else was answered either: TorchServe hangs, or takes requests while
        its workers are still starting, and no image is to blame.
        """
        if isinstance(error, WorkerSilentError):
            return self.health.silent_s(model) >= time.monotonic() - started
        return isinstance(error, NotReadyError)
