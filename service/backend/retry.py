"""Asking again: an image whose worker has gone is asked of the next one, while that is expected.

A worker that restarts is back within seconds, and segmenting a photo twice does no harm. So whoever
waits for a mask outlives a restart, and a model is changed by restarting its worker. Which image a
worker has crashed on is not known here, where many are on their way: the workers find out
(`handlers.isolation.guard`), and answer it with a problem. Called by `service.pipeline.segment` for
each image; deadlines are the caller's.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from handlers.shared.errors import ProblemError
from service.backend.health import Health
from service.errors import (
    ConnectionBrokenError,
    NotReadyError,
    WorkerCrashedError,
    WorkerSilentError,
)
from service.metrics.gateway import Metrics

PAUSE_S = 0.25
LONGEST_PAUSE_S = 2.0
# of one image; whatever the reason, it is given up then
MOST_CRASHES: Mapping[type[ProblemError], int] = {
    WorkerSilentError: 2,
    ConnectionBrokenError: 5,
    WorkerCrashedError: 5,
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Retry:
    """How long to go on asking: as long as the worker was well less than `restart_wait_s` ago."""

    health: Health
    metrics: Metrics
    restart_wait_s: float

    async def until_answered(self, model: str, attempt: Callable[[bool], Awaitable[T]]) -> T:
        """Return what `attempt` returns; raises what it raises once there is no hope left.

        `attempt` is told whether an earlier one ended in a worker's crash.
        """
        crashes: Counter[type[ProblemError]] = Counter()
        while True:
            started = time.monotonic()
            try:
                return await attempt(WorkerCrashedError in crashes)
            except (NotReadyError, WorkerCrashedError) as error:
                if self._is_everybodys(error, model, started):
                    if self.health.silent_s(model) > self.restart_wait_s:
                        raise
                else:
                    crashes[type(error)] += 1
                    if crashes[type(error)] == MOST_CRASHES[type(error)]:
                        raise
            self.metrics.retry(model)
            await asyncio.sleep(pause_s(crashes.total()))

    def _is_everybodys(self, error: Exception, model: str, started: float) -> bool:
        """Tell whether nobody else was answered either: TorchServe hangs, or takes requests while
        its workers are still starting, and no image is to blame.
        """
        if isinstance(error, WorkerSilentError):
            return self.health.silent_s(model) >= time.monotonic() - started
        return isinstance(error, NotReadyError)


def pause_s(crashes: int) -> float:
    """Seconds until the next attempt, longer after each crash; no two images wait equally long, so
    that those of one batch do not all come back at once.
    """
    doublings: int = max(0, crashes - 1)
    longest = min(LONGEST_PAUSE_S, PAUSE_S * 2.0**doublings)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - nothing secret
