"""Keeps images that take long out of the batches of shorter ones, and from taking all workers.

TorchServe puts what waits into one batch, and all answers of a batch leave together: a thumbnail
beside a picture of a hundred megapixels waits for it. TorchServe's queue is in order, so once the
last shorter image that was handed over is answered, the queue is empty and a worker is idle: a long
image handed over then has a batch to itself, and the next shorter ones follow a moment later. While
there are shorter images, long ones leave them a worker, and after each all workers for as long as
it was to take. Called by `service.handover`; see also `handlers.sharing`.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from service.line import Parcel

# for a long image to reach an idle worker before anything else does
SETTLE_S = 0.02


class LongImages:
    """What of one model's long images is handed over, and when the next may be."""

    def __init__(self, advance: Callable[[], None]) -> None:
        """Take what is to be called when something may be handed over again."""
        self._advance = advance
        self._handed_over = 0
        self._last_short: asyncio.Task[Any] | None = None
        self._rests_until = float("-inf")
        self.is_settling = False

    def is_held_back(self, parcel: Parcel, *, has_short: bool) -> bool:
        """Tell whether a long image leaves the workers to shorter ones, which wait or are handed
        over.
        """
        if not parcel.is_long or not (has_short or self._last_short):
            return False
        is_resting = asyncio.get_running_loop().time() < self._rests_until
        return is_resting or self._handed_over >= parcel.bounds.long_images

    def would_share(self, parcel: Parcel) -> bool:
        """Tell whether a long image would get into a batch with others."""
        return parcel.is_long and self._last_short is not None

    def begun(self, parcel: Parcel, job: "asyncio.Task[Any]") -> None:
        """Take note of an image that is handed over."""
        if not parcel.is_long:
            self._last_short = job
            return
        self._handed_over += 1
        self.is_settling = True
        asyncio.get_running_loop().call_later(SETTLE_S, self._settle)

    def done(self, parcel: Parcel, job: "asyncio.Task[Any]") -> None:
        """Take note of an image that has been answered."""
        if job is self._last_short:
            self._last_short = None
        if parcel.is_long:
            self._handed_over -= 1
            loop = asyncio.get_running_loop()
            self._rests_until = loop.time() + parcel.seconds
            loop.call_later(parcel.seconds, self._advance)

    def _settle(self) -> None:
        self.is_settling = False
        self._advance()
