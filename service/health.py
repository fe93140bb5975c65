"""Is a worker alive? Any answer says so, and while there are none a canary asks.

The canary is a sample photo, sent small, and only when no request is in flight: saturation never
makes the service look dead, and an idle one costs next to nothing.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

from handlers.errors import ProblemError
from service.metrics import Metrics
from service.models import Models
from service.upstream import Upstream

CANARY_PHOTO = Path(__file__).parent / "samples" / "cat.jpg"
CANARY_OPTIONS: dict[str, object] = {"max_side": 64}
FIRST_POLL_S = 0.2

logger = logging.getLogger(__name__)


class Health:
    """Remembers the last sign of life of each model's workers."""

    def __init__(
        self,
        upstream: Upstream,
        models: Models,
        window_s: float,
        metrics: Metrics,
        is_idle: Callable[[], bool],
    ) -> None:
        self._upstream = upstream
        self._window_s = window_s
        self._metrics = metrics
        self._is_idle = is_idle
        self._models = models
        self._alive_at = dict.fromkeys(models.names, float("-inf"))
        self._canary = CANARY_PHOTO.read_bytes()

    def saw_answer(self, model: str) -> None:
        self._alive_at[model] = time.monotonic()

    def silent_s(self, model: str) -> float:
        """Seconds since a worker of this model last answered; infinite before the first time."""
        return time.monotonic() - self._alive_at[model]

    def age_s(self) -> float:
        """Seconds since the model that has been silent longest last answered."""
        return max(map(self.silent_s, self._alive_at))

    def is_ready(self) -> bool:
        ready = self.age_s() <= self._window_s
        self._metrics.ready.set(ready)
        return ready

    async def watch(self) -> None:
        """Send canaries for ever: often until the first answer, then when it has been quiet."""
        while True:
            for model in self._alive_at:
                is_quiet = self.silent_s(model) > self._window_s / 3
                if is_quiet and (self._is_idle() or not self.is_ready()):
                    await self._send_canary(model)
            await asyncio.sleep(self._window_s / 6 if self.is_ready() else FIRST_POLL_S)

    async def _send_canary(self, model: str) -> None:
        """Ask once, and have the card at hand before a client needs it."""
        try:
            async with asyncio.timeout(self._window_s):
                answer = await self._upstream.send(model, self._canary, CANARY_OPTIONS)
                self._models.saw_tag(model, answer.model)
                await self._models.card(model)
        except (TimeoutError, ProblemError) as error:
            logger.debug("canary for %s: %s", model, error)
        else:
            self.saw_answer(model)
