"""One attempt at an image: it is sent to TorchServe once, and its outcome is observed in one place.

An image's bytes and options go in, the worker's answer comes out. Called by
`service.pipeline.dispatch` through the dispatcher. An attempt runs to its end after its client has
disconnected, since the report in its answer is about its whole batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from handlers.shared.errors import ProblemError
from handlers.shared.wire import WorkerOptions
from service.backend.client import TorchServeClient, WorkerAnswer
from service.backend.health import Health
from service.backend.registry import ModelRegistry
from service.errors import (
    ConnectionBrokenError,
    ModelMissingError,
    NotReadyError,
    WorkerCrashedError,
    WorkerSilentError,
)
from service.metrics.attempts import AttemptMetrics
from service.metrics.worker_reports import ReportMetrics

# the outcomes of attempts without an answer of the worker
FAILURES: Mapping[type[ProblemError], str] = {
    NotReadyError: "not_ready",
    ModelMissingError: "not_ready",
    WorkerCrashedError: "crashed",
    ConnectionBrokenError: "crashed",
    WorkerSilentError: "timed_out",
}


@dataclass(frozen=True, slots=True)
class Attempts:
    """Sends images, and observes the outcomes."""

    client: TorchServeClient
    models: ModelRegistry
    health: Health
    metrics: AttemptMetrics
    reports: ReportMetrics

    async def send(
        self,
        model: str,
        body: bytes,
        options: WorkerOptions,
        timeout_s: float,
        has_crashed: bool,
    ) -> WorkerAnswer:
        """Send an image once, as a suspect if a worker has crashed with it: such an image runs
        alone. Raises what `TorchServeClient.send` raises.
        """
        if has_crashed:
            options = options.model_copy(update={"suspect": True})
        try:
            answer = await self.client.send(model, body, options, timeout_s)
        except ProblemError as problem:
            self.observe(model, problem)
            raise
        self.observe(model, answer)
        return answer

    def observe(self, model: str, outcome: WorkerAnswer | ProblemError) -> None:
        """Pass an attempt's outcome to all that depends on it: metrics, health, model registry."""
        if isinstance(outcome, ProblemError):
            self.metrics.observe(model, FAILURES.get(type(outcome), "problem"))
            return
        self.metrics.observe(model, outcome.outcome)
        self.health.record_answer(model)
        self.models.drop_if_exchanged(model, outcome.model)
        self.reports.observe(outcome.report, outcome.model)
