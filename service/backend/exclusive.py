"""When an exclusive image, one that takes long, may be dispatched: it shares no batch with others,
and does not take all workers.

TorchServe puts its queued images into one batch, and all answers of a batch leave together: a
thumbnail in a batch with an image of a hundred megapixels waits for it. TorchServe's queue is first
in, first out, so once the last shared (not exclusive) image that was dispatched is answered, the
queue is empty and a worker is idle: an exclusive image that is dispatched then has a batch to
itself, and the next shared ones follow a moment later. While there are shared images, exclusive
ones leave them one worker where there are several, and after each one all workers for as long as it
took. Called by `service.backend.dispatcher`; see also `handlers.stages.defer`.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from service.backend.queue import DispatchLimits, QueueEntry

# for an exclusive image to reach an idle worker before anything else does
SETTLE_S = 0.02


class ExclusiveImages:
    """Which of one model's exclusive images are dispatched, and when the next may be."""

    def __init__(self, advance: Callable[[], None]) -> None:
        """Take the function to call when another image may be dispatched."""
        self._advance = advance
        self._started_at: dict[asyncio.Task[Any], float] = {}
        self._last_shared: asyncio.Task[Any] | None = None
        self._rests_until = float("-inf")
        self.is_settling = False

    def is_held_back(self, limits: DispatchLimits, *, has_shared: bool) -> bool:
        """Return whether an exclusive image has to wait for other exclusive ones, or leaves the
        workers to shared ones that are waiting or dispatched.
        """
        if not (has_shared or self._last_shared):
            return len(self._started_at) >= limits.workers
        is_resting = asyncio.get_running_loop().time() < self._rests_until
        return is_resting or len(self._started_at) >= max(1, limits.workers - 1)

    def would_share_batch(self) -> bool:
        """Return whether an exclusive image would get into a batch with others."""
        return self._last_shared is not None

    def started(self, entry: QueueEntry, job: "asyncio.Task[Any]") -> None:
        """Record that an image has been dispatched."""
        if not entry.is_exclusive:
            self._last_shared = job
            return
        loop = asyncio.get_running_loop()
        self._started_at[job] = loop.time()
        self.is_settling = True
        loop.call_later(SETTLE_S, self._settle)

    def done(self, entry: QueueEntry, job: "asyncio.Task[Any]") -> None:
        """Record that an image has been answered."""
        if job is self._last_shared:
            self._last_shared = None
        if entry.is_exclusive:
            loop = asyncio.get_running_loop()
            now = loop.time()
            rest_s = min(entry.cost_s, now - self._started_at.pop(job))
            self._rests_until = max(self._rests_until, now + rest_s)
            loop.call_later(rest_s, self._advance)

    def _settle(self) -> None:
        self.is_settling = False
        self._advance()
