"""Retries: an image whose worker has crashed or is restarting is sent again, while recovery is
expected.

A worker restarts within seconds, and segmenting a photo twice is harmless. So a request survives a
restart, and a model is exchanged by restarting its worker. The gateway cannot determine which of
many images in flight crashed a worker: the workers do (`handlers.isolation.quarantine`), and answer
that image with a problem. An attempt comes in, its result goes out. Called by
`service.pipeline.dispatch` for each image; deadlines are the caller's.
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
from service.metrics.attempts import AttemptMetrics

PAUSE_S = 0.25
MAX_PAUSE_S = 2.0
# failed attempts at one image, of each kind, after which its problem is the answer
MAX_FAILURES: Mapping[type[ProblemError], int] = {
    WorkerSilentError: 2,
    ConnectionBrokenError: 5,
    WorkerCrashedError: 5,
}

# retries that go to another replica without a pause
MAX_AT_ONCE = 3

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Earlier:
    """What is known of an image's earlier attempts."""

    crashes: int = 0  # of workers that had it in work
    replica: str = ""  # where the last attempt failed

    def after(self, error: NotReadyError | WorkerCrashedError) -> "Earlier":
        """Return what is known after another attempt that failed."""
        is_crash = type(error) is WorkerCrashedError
        return Earlier(self.crashes + is_crash, error.replica or self.replica)


@dataclass(frozen=True, slots=True)
class Retry:
    """Attempts until one succeeds, or the model's workers have been silent for `restart_wait_s`."""

    health: Health
    metrics: AttemptMetrics
    restart_wait_s: float
    has_other: Callable[[str, str], bool]  # model, replica: whether another takes its images

    async def until_answered(self, model: str, attempt: Callable[[Earlier], Awaitable[T]]) -> T:
        """Return what `attempt` returns; raises its last error once no retry is left."""
        failures: Counter[type[ProblemError]] = Counter()
        earlier, retries = Earlier(), 0
        while True:
            started = time.monotonic()
            try:
                return await attempt(earlier)
            except (NotReadyError, WorkerCrashedError) as error:
                earlier = earlier.after(error)
                if self._affects_all(error, model, started):
                    if self.health.silent_s(model) > self.restart_wait_s:
                        raise
                else:
                    failures[type(error)] += 1
                    if failures[type(error)] == MAX_FAILURES[type(error)]:
                        raise
            self.metrics.observe_retry(model)
            retries += 1
            if retries > MAX_AT_ONCE or not self.has_other(model, earlier.replica):
                await asyncio.sleep(pause_s(failures.total()))

    def _affects_all(self, error: Exception, model: str, started: float) -> bool:
        """Return whether no image was answered meanwhile: TorchServe hangs, or accepts requests
        while its workers are still starting, and no single image is the cause.
        """
        if isinstance(error, WorkerSilentError):
            return self.health.silent_s(model) >= time.monotonic() - started
        return isinstance(error, NotReadyError)


def pause_s(failures: int) -> float:
    """Return the seconds until the next attempt: longer after each failure, and random, so that the
    images of one batch are not sent again all at once.
    """
    doublings: int = max(0, failures - 1)
    longest = min(MAX_PAUSE_S, PAUSE_S * 2.0**doublings)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - nothing secret
