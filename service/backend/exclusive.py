"""When an exclusive image, one that takes long, may be sent: it does not take all workers of a
replica.

An exclusive image is a request of its own, since all answers of a request leave together: a
thumbnail beside an image of a hundred megapixels would wait for it. While there are shared (not
exclusive) images, exclusive ones leave them one worker where there are several, and after each one
all workers for as long as it took. Read by `service.backend.replicas`.
"""

import asyncio
from collections.abc import Callable

from service.backend.queue import QueueEntry


class ExclusiveImages:
    """Which of one model's exclusive images a replica has, and when the next may be sent."""

    def __init__(self, advance: Callable[[], None]) -> None:
        """Take the function to call when another image may be sent."""
        self._advance = advance
        self._sent_at: dict[int, float] = {}  # by sequence number
        self._rests_until = float("-inf")

    @property
    def count(self) -> int:
        """How many TorchServe has."""
        return len(self._sent_at)

    def is_held_back(self, workers: int, *, has_shared: bool) -> bool:
        """Return whether an exclusive image has to wait for other exclusive ones, of so many
        workers, or leaves these to shared ones that wait or are in work.
        """
        if not has_shared:
            return len(self._sent_at) >= workers
        is_resting = asyncio.get_running_loop().time() < self._rests_until
        return is_resting or len(self._sent_at) >= max(1, workers - 1)

    def started(self, entry: QueueEntry) -> None:
        """Record that an image has been sent."""
        if entry.is_exclusive:
            self._sent_at[entry.sequence] = asyncio.get_running_loop().time()

    def done(self, entry: QueueEntry) -> None:
        """Record that an image has been answered."""
        if entry.is_exclusive:
            loop = asyncio.get_running_loop()
            now = loop.time()
            rest_s = min(entry.cost_s, now - self._sent_at.pop(entry.sequence))
            self._rests_until = max(self._rests_until, now + rest_s)
            loop.call_later(rest_s, self._advance)
