"""Keeps images that take long out of the batches of shorter ones, and from taking all workers.

TorchServe puts what waits into one batch, and all answers of a batch leave together: a thumbnail
beside a picture of a hundred megapixels waits for it. TorchServe's queue is in order, so once the
last shorter image that was handed over is answered, the queue is empty and a worker is idle: a long
image handed over then has a batch to itself, and the next shorter ones follow a moment later. While
there are shorter images, long ones leave them a worker where there are several, and after each all
workers for as long as it took. Called by `service.backend.dispatcher`; see also
`handlers.stages.share`.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from service.backend.queue import Bounds, QueueEntry

# for a long image to reach an idle worker before anything else does
SETTLE_S = 0.02


class ExclusiveImages:
    """What of one model's long images is handed over, and when the next may be."""

    def __init__(self, advance: Callable[[], None]) -> None:
        """Take what is to be called when something may be handed over again."""
        self._advance = advance
        self._begun_at: dict[asyncio.Task[Any], float] = {}
        self._last_short: asyncio.Task[Any] | None = None
        self._rests_until = float("-inf")
        self.is_settling = False

    def is_held_back(self, bounds: Bounds, *, has_short: bool) -> bool:
        """Tell whether a long image has to wait for others like it, or leaves the workers to
        shorter ones, which wait or are handed over.
        """
        if not (has_short or self._last_short):
            return len(self._begun_at) >= bounds.workers
        is_resting = asyncio.get_running_loop().time() < self._rests_until
        return is_resting or len(self._begun_at) >= max(1, bounds.workers - 1)

    def would_share(self) -> bool:
        """Tell whether a long image would get into a batch with others."""
        return self._last_short is not None

    def begun(self, entry: QueueEntry, job: "asyncio.Task[Any]") -> None:
        """Take note of an image that is handed over."""
        if not entry.is_long:
            self._last_short = job
            return
        loop = asyncio.get_running_loop()
        self._begun_at[job] = loop.time()
        self.is_settling = True
        loop.call_later(SETTLE_S, self._settle)

    def done(self, entry: QueueEntry, job: "asyncio.Task[Any]") -> None:
        """Take note of an image that has been answered."""
        if job is self._last_short:
            self._last_short = None
        if entry.is_long:
            loop = asyncio.get_running_loop()
            now = loop.time()
            rest_s = min(entry.seconds, now - self._begun_at.pop(job))
            self._rests_until = max(self._rests_until, now + rest_s)
            loop.call_later(rest_s, self._advance)

    def _settle(self) -> None:
        self.is_settling = False
        self._advance()
