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
from service.backend.client import SentImage, WorkerAnswer
from service.backend.health import Health
from service.backend.registry import ModelRegistry
from service.backend.replicas.replica import ModelReplica
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

    models: ModelRegistry
    health: Health
    metrics: AttemptMetrics
    reports: ReportMetrics

    async def send(
        self, replica: ModelReplica, images: Sequence[SentImage]
    ) -> list[WorkerAnswer | ProblemError]:
        """Send images to a replica once, and return the outcome of each: a failure of their request
        is one of each of them.
        """
        outcomes: list[WorkerAnswer | ProblemError] = []
        try:
            timeout_s = self.models.attempt_timeout_s(replica)
            outcomes += await replica.client.send_together(replica.model, images, timeout_s)
        except ProblemError as problem:
            if isinstance(problem, (NotReadyError, WorkerCrashedError)):
                problem.replica = replica.name
            outcomes += (copy(problem) for _ in images)  # each is raised in a task of its own
        self.report(replica, outcomes[0])
        for outcome in outcomes:
            self.observe(replica, outcome)
        return outcomes

    def observe(self, replica: ModelReplica, outcome: WorkerAnswer | ProblemError) -> None:
        """Count an image's outcome."""
        if isinstance(outcome, ProblemError):
            self.metrics.observe(replica.model, FAILURES.get(type(outcome), "problem"))
            replica.images_failed.own += 1
            return
        self.metrics.observe(replica.model, outcome.outcome)
        replica.images_answered.own += 1
        self.reports.observe(outcome.report, outcome.model)

    def report(self, replica: ModelReplica, outcome: WorkerAnswer | ProblemError) -> None:
        """Pass a request's outcome to the replica, to health and model registry. A replica whose
        worker has crashed may have others, and is sent more.
        """
        if isinstance(outcome, WorkerAnswer):
            self.health.record_answer(replica)
            replica.latest_tag = outcome.model
            replica.show_draining(is_draining=outcome.is_draining)
            self.models.drop_if_exchanged(replica, outcome.model)
        elif isinstance(outcome, (NotReadyError, ConnectionBrokenError, WorkerSilentError)):
            replica.refused()
