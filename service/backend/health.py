"""The health of each model's workers, at each replica: alive while one has answered within a time
window. A model is alive while it is at one of its replicas.

Any answer counts (`service.backend.attempt`), and while there are none a liveness probe is sent: a
sample photo at a small size, and only when the replica has no image of that model, so saturation
never makes the service unready, and an idle one costs next to nothing. Called by
`service.api.routes` (`/readyz`), `service.backend.retry` and `service.app`, which runs `watch`.
"""

import asyncio
import logging
import time

from handlers.shared.errors import ProblemError
from handlers.shared.wire import WorkerOptions
from service.backend.registry import ModelRegistry
from service.backend.replicas.replica import NEVER, ModelReplica
from service.backend.replicas.replica_set import ReplicaSet
from service.errors import ModelMissingError
from service.metrics.readiness import ReadinessMetrics
from service.settings import ROOT, Settings

PROBE_PHOTO = ROOT / "service" / "samples" / "cat.jpg"
PROBE_OPTIONS = WorkerOptions(max_side=64)
FIRST_POLL_S = 0.2

logger = logging.getLogger(__name__)


class Health:
    """When the workers of each model last answered, and what follows from it."""

    def __init__(
        self,
        replicas: ReplicaSet,
        models: ModelRegistry,
        settings: Settings,
        metrics: ReadinessMetrics,
    ) -> None:
        self.replicas = replicas
        self._window_s = settings.ready_window_s
        self._start_s = settings.restart_wait_s
        self._metrics = metrics
        self._models = models
        self._watching: dict[ModelReplica, asyncio.Task[None]] = {}
        self._started = time.monotonic()
        self._answered_at = dict.fromkeys(models.names, NEVER)
        self._photo = PROBE_PHOTO.read_bytes()
        self._logged_alive = dict.fromkeys(models.names, False)

    def record_answer(self, replica: ModelReplica) -> None:
        """Record that a worker of this model has just answered, at this replica."""
        now = time.monotonic()
        replica.answered(now)
        if not replica.is_excluded:
            self._answered_at[replica.model] = now

    def silent_s(self, model: str) -> float:
        """Seconds since a worker of this model last answered; infinite before the first time."""
        return time.monotonic() - self._answered_at[model]

    def window_s(self, model: str) -> float:
        """Seconds for which an answer counts: a slow model's workers are silent during a batch."""
        card = self._models.known(model)
        return max(self._window_s, card.slowest_batch_s) if card else self._window_s

    def is_alive_at(self, replica: ModelReplica) -> bool:
        """Return whether one of a replica's workers has answered within the window, and it has
        refused nothing since.
        """
        return replica.has_answered and time.monotonic() - replica.answered_at <= self.window_s(
            replica.model
        )

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
        replicas = self.replicas.of[model].all
        is_missing = bool(replicas) and all(each.is_missing for each in replicas)
        is_new = self._answered_at[model] == NEVER and not is_missing
        return is_new and time.monotonic() - self._started < self._start_s

    async def watch(self) -> None:
        """Watch all models at all replicas until cancelled, each in a task: one that hangs delays
        no other.
        """
        logger.info("waiting for workers to load %s", ", ".join(self._answered_at))
        self.replicas.on_exchange.append(self._watch_present)
        self._watch_present()
        try:
            while True:
                await asyncio.sleep(self._window_s / 6)
                for model in self._answered_at:
                    self._log_change(model)
                self.is_ready()
        finally:
            watching = list(self._watching.values())
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    def _watch_present(self) -> None:
        """Watch the replicas that there are now, and no others."""
        present = {each for model in self.replicas.of.values() for each in model.all}
        for replica in self._watching.keys() - present:
            self._watching.pop(replica).cancel()
        for replica in present - self._watching.keys():
            self._watching[replica] = asyncio.create_task(self._watch(replica))

    async def _watch(self, replica: ModelReplica) -> None:
        """Check repeatedly, whatever a check raises: unwatched, an idle model would turn silent."""
        while True:
            try:
                await self._check(replica)
            except Exception:
                logger.exception("the watch over %s met a defect, and goes on", replica.model)
            is_slow = replica.is_alive or replica.is_missing
            is_slow &= not replica.is_draining
            await asyncio.sleep(self._window_s / 6 if is_slow else FIRST_POLL_S)

    async def _check(self, replica: ModelReplica) -> None:
        """Send a liveness probe: often until the first answer, then whenever the model is quiet."""
        silent_s = time.monotonic() - replica.answered_at
        is_quiet = silent_s > self.window_s(replica.model) / 3
        is_alive = self.is_alive_at(replica)
        if replica.is_draining:
            await self._ask_whether_draining(replica)
        elif not replica.has_answered or (is_quiet and (not replica.room.images or not is_alive)):
            await self._probe(replica)
        replica.show(is_alive=self.is_alive_at(replica))
        replica.speed.forget(time.monotonic(), self.replicas.of[replica.model].expected_speed)
        self.is_ready()
        self._log_change(replica.model)

    def _log_change(self, model: str) -> None:
        """Log that a model's workers have begun, or ceased, to answer."""
        alive = self.is_alive(model)
        if alive and not self._logged_alive[model]:
            logger.info("workers answer: %s is ready", model)
        elif self._logged_alive[model] and not alive:
            logger.warning("no worker of %s has answered for %.0f s", model, self.silent_s(model))
        self._logged_alive[model] = alive

    async def _ask_whether_draining(self, replica: ModelReplica) -> None:
        """Read the card again, which costs no forward pass, until a new TorchServe answers."""
        replica.exchange(None)
        try:
            async with asyncio.timeout(self._window_s):
                await self._models.card_at(replica)
        except (TimeoutError, ProblemError) as error:
            logger.debug("replica %s, which is draining: %s", replica.name, error)

    async def _probe(self, replica: ModelReplica) -> None:
        """Send one probe, and read the card before a client needs it.

        The card comes first: it costs no forward pass, and has the time that one may take. A probe
        that is given up sooner would still be computed, before the next one.
        """
        model = replica.model
        try:
            async with asyncio.timeout(self._window_s):
                await self._models.card_at(replica)
            async with asyncio.timeout(self.window_s(model)):
                timeout_s = self._models.attempt_timeout_s(replica)
                answer = await replica.client.send(model, self._photo, PROBE_OPTIONS, timeout_s)
                replica.show_draining(is_draining=answer.is_draining)
                self._models.drop_if_exchanged(replica, answer.model)
                await self._models.card_at(replica)
        except ModelMissingError:
            replica.is_missing = True
        except (TimeoutError, ProblemError) as error:
            logger.debug("liveness probe for %s at %s: %s", model, replica.name, error)
        else:
            self.record_answer(replica)
