"""The metrics of attempts: how often images are sent to TorchServe, and how that ends.

Called by `service.backend.attempt` and `service.backend.retry`. Part of `service.metrics.gateway`.
"""

from functools import cache

from prometheus_client import CollectorRegistry

from service.metrics.kept import Counter

OUTCOMES = ("answered", "problem", "not_ready", "crashed", "timed_out")


class AttemptMetrics:
    """Attempts by outcome, and retries."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.attempts = Counter(
            "fcnserve_upstream_attempts",
            "Times that an image was sent to TorchServe, by outcome",
            ["model", "outcome"],
            registry=registry,
        )
        self.retries = Counter(
            "fcnserve_upstream_retries",
            "Requests to TorchServe that were repeated, for lack of a worker or after a crash",
            ["model"],
            registry=registry,
        )
        self._attempts = cache(self.attempts.labels)

    def observe(self, model: str, outcome: str) -> None:
        """Count an image sent to TorchServe; `outcome` is one of OUTCOMES."""
        self._attempts(model, outcome).inc()

    def observe_retry(self, model: str) -> None:
        """Count a request to TorchServe that is about to be repeated."""
        self.retries.labels(model).inc()

    def start(self, model: str) -> None:
        """Create a model's metrics at zero: a rate needs a value before the first event."""
        for outcome in OUTCOMES:
            self.attempts.labels(model, outcome)
        self.retries.labels(model)
