"""The health of each model's workers: alive while one has answered within a time window.

Any answer counts (`service.backend.attempt`), and while there are none a liveness probe is sent: a
sample photo at a small size, and only when no request for that model is in flight, so saturation
never makes the service unready, and an idle one costs next to nothing. Called by
`service.api.routes` (`/readyz`), `service.backend.retry` and `service.app`, which runs `watch`.
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
from service.metrics.readiness import ReadinessMetrics
from service.settings import ROOT, Settings

PROBE_PHOTO = ROOT / "service" / "samples" / "cat.jpg"
PROBE_OPTIONS = WorkerOptions(max_side=64)
FIRST_POLL_S = 0.2
NEVER = float("-inf")

logger = logging.getLogger(__name__)


class Health:
    """When the workers of each model last answered, and what follows from it."""

    def __init__(
        self,
        client: TorchServeClient,
        models: ModelRegistry,
        settings: Settings,
        metrics: ReadinessMetrics,
        is_idle: Callable[[str], bool],
    ) -> None:
        """Take, beside the parts it uses, whether a model has no request in flight."""
        self._client = client
        self._window_s = settings.ready_window_s
        self._start_s = settings.restart_wait_s
        self._metrics = metrics
        self._is_idle = is_idle
        self._models = models
        self._started = time.monotonic()
        self._answered_at = dict.fromkeys(models.names, NEVER)
        self._missing: set[str] = set()
        self._photo = PROBE_PHOTO.read_bytes()
        self._logged_alive = dict.fromkeys(models.names, False)

    def record_answer(self, model: str) -> None:
        """Record that a worker of this model has just answered."""
        self._answered_at[model] = time.monotonic()
        self._missing.discard(model)

    def silent_s(self, model: str) -> float:
        """Seconds since a worker of this model last answered; infinite before the first time."""
        return time.monotonic() - self._answered_at[model]

    def window_s(self, model: str) -> float:
        """Seconds for which an answer counts: a slow model's workers are silent during a batch."""
        card = self._models.known(model)
        return max(self._window_s, card.slowest_batch_s) if card else self._window_s

    def is_alive(self, model: str) -> bool:
        """Return whether one of a model's workers has answered within the window."""
        alive = self.silent_s(model) <= self.window_s(model)
        self._metrics.show_model(model, alive)
        return alive

    def silent(self) -> list[str]:
        """Return the names of the models that are not alive."""
        return [model for model in self._answered_at if not self.is_alive(model)]

    def is_ready(self) -> bool:
        """Return whether photos for at least one model will be answered, and none is starting.

        One silent model leaves the gateway ready: sending its photos to another gateway would not
        bring that model back.
        """
        silent = self.silent()
        ready = len(silent) < len(self._answered_at) and not any(map(self._is_starting, silent))
        self._metrics.show(ready)
        return ready

    def _is_starting(self, model: str) -> bool:
        """Return whether a model is still expected to start for the first time."""
        is_new = self._answered_at[model] == NEVER and model not in self._missing
        return is_new and time.monotonic() - self._started < self._start_s

    async def watch(self) -> None:
        """Watch all models until cancelled, each in a task: one that hangs delays no other."""
        logger.info("waiting for workers to load %s", ", ".join(self._answered_at))
        async with asyncio.TaskGroup() as group:
            for model in self._answered_at:
                group.create_task(self._watch(model))

    async def _watch(self, model: str) -> None:
        """Check repeatedly, whatever a check raises: unwatched, an idle model would turn silent."""
        while True:
            try:
                await self._check(model)
            except Exception:
                logger.exception("the watch over %s met a defect, and goes on", model)
            is_slow = self.is_alive(model) or model in self._missing
            await asyncio.sleep(self._window_s / 6 if is_slow else FIRST_POLL_S)

    async def _check(self, model: str) -> None:
        """Send a liveness probe: often until the first answer, then whenever the model is quiet."""
        is_quiet = self.silent_s(model) > self.window_s(model) / 3
        if is_quiet and (self._is_idle(model) or not self.is_alive(model)):
            await self._probe(model)
        self.is_ready()
        self._log_change(model)

    def _log_change(self, model: str) -> None:
        """Log that a model's workers have begun, or ceased, to answer."""
        alive = self.is_alive(model)
        if alive and not self._logged_alive[model]:
            logger.info("workers answer: %s is ready", model)
        elif self._logged_alive[model] and not alive:
            logger.warning("no worker of %s has answered for %.0f s", model, self.silent_s(model))
        self._logged_alive[model] = alive

    async def _probe(self, model: str) -> None:
        """Send one probe, and read the card before a client needs it.

        The card comes first: it costs no forward pass, and has the time that one may take. A probe
        that is given up sooner would still be computed, before the next one.
        """
        try:
            async with asyncio.timeout(self._window_s):
                await self._models.card(model)
            async with asyncio.timeout(self.window_s(model)):
                timeout_s = self._models.attempt_timeout_s(model)
                answer = await self._client.send(model, self._photo, PROBE_OPTIONS, timeout_s)
                self._models.drop_if_exchanged(model, answer.model)
                await self._models.card(model)
        except ModelMissingError:
            self._missing.add(model)
        except (TimeoutError, ProblemError) as error:
            logger.debug("liveness probe for %s: %s", model, error)
        else:
            self.record_answer(model)
