"""One attempt at images: they are sent to TorchServe once, in one request, and the outcome of each
is observed in one place.

Images go in, the worker's answers come out. Made by `service.app`, which gives `Attempts.send` to
the dispatchers. An attempt runs to its end after its clients have disconnected, since the reports
in its answers are about its whole batch.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass

from handlers.shared.errors import ProblemError
from service.backend.client import SentImage, TorchServeClient, WorkerAnswer
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
        self, model: str, images: Sequence[SentImage]
    ) -> list[WorkerAnswer | ProblemError]:
        """Send images once, and return the outcome of each: a failure of their request is one of
        each of them.
        """
        outcomes: list[WorkerAnswer | ProblemError] = []
        try:
            timeout_s = self.models.attempt_timeout_s(model)
            outcomes += await self.client.send_together(model, images, timeout_s)
        except ProblemError as problem:
            outcomes += (copy(problem) for _ in images)  # each is raised in a task of its own
        for outcome in outcomes:
            self.observe(model, outcome)
        return outcomes

    def observe(self, model: str, outcome: WorkerAnswer | ProblemError) -> None:
        """Pass an attempt's outcome to all that depends on it: metrics, health, model registry."""
        if isinstance(outcome, ProblemError):
            self.metrics.observe(model, FAILURES.get(type(outcome), "problem"))
            return
        self.metrics.observe(model, outcome.outcome)
        self.health.record_answer(model)
        self.models.drop_if_exchanged(model, outcome.model)
        self.reports.observe(outcome.report, outcome.model)
