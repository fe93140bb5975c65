"""Is a model's worker alive? Any answer says so, and while there are none a canary asks.

The canary is a sample photo, sent small, and only when no request for that model is in flight:
saturation never makes the service look dead, and an idle one costs next to nothing.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from handlers.shared.errors import ProblemError
from handlers.shared.wire import WorkerOptions
from service.backend.client import TorchServeClient
from service.backend.registry import ModelRegistry
from service.errors import ModelMissingError
from service.metrics.gateway import Metrics
from service.settings import ROOT, Settings

CANARY_PHOTO = ROOT / "service" / "samples" / "cat.jpg"
CANARY_OPTIONS = WorkerOptions(max_side=64)
FIRST_POLL_S = 0.2

logger = logging.getLogger(__name__)


class Health:
    """Remembers the last sign of life of each model's workers."""

    def __init__(
        self,
        upstream: TorchServeClient,
        models: ModelRegistry,
        settings: Settings,
        metrics: Metrics,
        is_idle: Callable[[str], bool],
    ) -> None:
        self._upstream = upstream
        self._window_s = settings.ready_window_s
        self._start_s = settings.restart_wait_s
        self._metrics = metrics
        self._is_idle = is_idle
        self._models = models
        self._started = time.monotonic()
        self._alive_at = dict.fromkeys(models.names, float("-inf"))
        self._missing: set[str] = set()
        self._canary = CANARY_PHOTO.read_bytes()
        self._told_alive = dict.fromkeys(models.names, False)

    def saw_answer(self, model: str) -> None:
        self._alive_at[model] = time.monotonic()
        self._missing.discard(model)

    def silent_s(self, model: str) -> float:
        """Seconds since a worker of this model last answered; infinite before the first time."""
        return time.monotonic() - self._alive_at[model]

    def window_s(self, model: str) -> float:
        """Seconds for which an answer counts: a slow model's workers are silent over a batch."""
        card = self._models.known(model)
        return max(self._window_s, card.slowest_batch_s) if card else self._window_s

    def is_alive(self, model: str) -> bool:
        """Tell whether one of a model's workers has answered within the window."""
        alive = self.silent_s(model) <= self.window_s(model)
        self._metrics.model_ready.labels(model).set(alive)
        return alive

    def silent(self) -> list[str]:
        """Name the models that are not alive."""
        return [model for model in self._alive_at if not self.is_alive(model)]

    def is_ready(self) -> bool:
        """Tell whether photos will be answered: those of one model, at least. To send them all to
        another gateway would bring the silent model nothing.
        """
        silent = self.silent()
        ready = len(silent) < len(self._alive_at) and not any(map(self._is_awaited, silent))
        self._metrics.ready.set(ready)
        return ready

    def _is_awaited(self, model: str) -> bool:
        """Tell whether a model is still expected to start for the first time."""
        is_new = self._alive_at[model] == float("-inf") and model not in self._missing
        return is_new and time.monotonic() - self._started < self._start_s

    async def watch(self) -> None:
        """Watch all models for ever; one that hangs keeps no other waiting."""
        logger.info("waiting for workers to load %s", ", ".join(self._alive_at))
        async with asyncio.TaskGroup() as group:
            for model in self._alive_at:
                group.create_task(self._watch(model))

    async def _watch(self, model: str) -> None:
        """Look again and again, whatever one look meets: unwatched, an idle model would count as
        dead.
        """
        while True:
            try:
                await self._look_after(model)
            except Exception:
                logger.exception("the watch over %s met a defect, and goes on", model)
            rests = self.is_alive(model) or model in self._missing
            await asyncio.sleep(self._window_s / 6 if rests else FIRST_POLL_S)

    async def _look_after(self, model: str) -> None:
        """Send a canary: often until the first answer, then when it has been quiet."""
        is_quiet = self.silent_s(model) > self.window_s(model) / 3
        if is_quiet and (self._is_idle(model) or not self.is_alive(model)):
            await self._send_canary(model)
        self.is_ready()
        self._tell_change(model)

    def _tell_change(self, model: str) -> None:
        """Log that a model's workers answer, or do not any more."""
        alive = self.is_alive(model)
        if alive and not self._told_alive[model]:
            logger.info("workers answer: %s is ready", model)
        elif self._told_alive[model] and not alive:
            logger.warning("no worker of %s has answered for %.0f s", model, self.silent_s(model))
        self._told_alive[model] = alive

    async def _send_canary(self, model: str) -> None:
        """Ask once, and have the card at hand before a client needs it.

        The card comes first: it costs no pass, and tells how long one may take. Given up sooner, a
        photo would still be computed, before the next canary's.
        """
        try:
            async with asyncio.timeout(self._window_s):
                await self._models.card(model)
            async with asyncio.timeout(self.window_s(model)):
                answer = await self._upstream.send(model, self._canary, CANARY_OPTIONS)
                self._models.saw_tag(model, answer.model)
                await self._models.card(model)
        except ModelMissingError:
            self._missing.add(model)
        except (TimeoutError, ProblemError) as error:
            logger.debug("canary for %s: %s", model, error)
        else:
            self.saw_answer(model)
