"""The metrics of requests: their answers, durations, and the images without a result.

Called by `service.api.telemetry` and, for single images of a batch, by `service.pipeline.batch`.
Part of `service.metrics.gateway`.
"""

from functools import cache, partial

from prometheus_client import CollectorRegistry

import service.errors  # noqa: F401 - defines ProblemError's other subclasses
from handlers.shared.errors import ProblemError
from service.metrics.buckets import SECONDS
from service.metrics.kept import Counter, Histogram

# the reason of a rejection without a problem code: the client has disconnected
CLIENT_GONE = "client_gone"


class RequestMetrics:
    """Requests by route, status and problem code; rejections by reason."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter = partial(Counter, registry=registry)
        self.requests = counter(
            "fcnserve_requests",
            "Requests answered, by route, status and problem code",
            ["route", "status", "code"],
        )
        self.seconds = Histogram(
            "fcnserve_request_duration_seconds",
            "From a request's arrival to its answer's last byte, by route",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self.rejections = counter(
            "fcnserve_rejections",
            "Images not answered with a result, by problem code or client_gone",
            ["reason"],
        )
        self._requests = cache(self.requests.labels)
        self._seconds = cache(self.seconds.labels)
        self._start()

    def observe(self, route: str, status: int, code: str, seconds: float) -> None:
        """Count an answered request."""
        self._requests(route, str(status), code).inc()
        self._seconds(route).observe(seconds)

    def reject(self, reason: str, images: int = 1) -> None:
        """Count images without a result; `reason` is a problem's code, or CLIENT_GONE."""
        self.rejections.labels(reason).inc(images)

    def _start(self) -> None:
        """Create all reasons at zero: a rate needs a value before the first event."""
        for problem in ProblemError.__subclasses__():
            self.rejections.labels(problem.code)
        self.rejections.labels(CLIENT_GONE)
