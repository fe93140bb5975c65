"""The gateway's metrics: requests here, the queue's and the workers' in files of their own.

Called by every stage that counts something. The registry is a parameter, so that tests have their
own. With several processes each has one, and a scrape of any of them shows the sums; a gauge's
`multiprocess_mode` is how it adds up.
"""

from collections.abc import Sequence
from functools import partial
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

import service.errors  # noqa: F401 - defines ProblemError's other subclasses
from handlers.shared.errors import ProblemError
from service.metrics.queue import QueueMetrics
from service.metrics.stage_times import StageTimes
from service.metrics.worker_reports import ReportMetrics

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 2, 2.5, 5, 10, 30, 60)
PIXELS = (1e4, 3e4, 1e5, 3e5, 1e6, 3e6, 1e7, 3e7, 1e8)
# the reason of a rejection without a problem code: the client has disconnected
CLIENT_GONE = "client_gone"
# of an attempt
OUTCOMES = ("answered", "problem", "put_off", "not_ready", "crashed", "timed_out")


class Metrics:
    """All metrics of one gateway process; `queue` and `reports` are parts of their own."""

    def __init__(
        self,
        registry: CollectorRegistry,
        scraped: CollectorRegistry | None = None,
        models: Sequence[str] = (),
    ) -> None:
        """Take the registry, with several processes the one that adds up all of them, and the
        models whose metrics exist from the start.
        """
        self.registry = registry
        self.scraped = registry if scraped is None else scraped
        self.queue = QueueMetrics(registry)
        self.reports = ReportMetrics(registry)
        self.scraped.register(self.reports.models)
        counter = partial(Counter, registry=registry)
        histogram = partial(Histogram, registry=registry)
        self.requests = counter(
            "fcnserve_requests",
            "Requests answered, by route, status and problem code",
            ["route", "status", "code"],
        )
        self.request_seconds = histogram(
            "fcnserve_request_duration_seconds",
            "From a request's arrival to its answer's last byte, by route",
            ["route"],
            buckets=SECONDS,
        )
        self.stage_seconds = histogram(
            "fcnserve_stage_duration_seconds",
            "Time per pipeline verb of an answered image",
            ["model", "stage"],
            buckets=SECONDS,
        )
        self.image_pixels = histogram(
            "fcnserve_image_pixels", "Photos admitted, by their own size in pixels", buckets=PIXELS
        )
        self.rejections = counter(
            "fcnserve_rejections",
            "Images not answered with a result, by problem code or client_gone",
            ["reason"],
        )
        self.attempts = counter(
            "fcnserve_upstream_attempts",
            "Times that an image was sent to TorchServe, by outcome",
            ["model", "outcome"],
        )
        self.retries = counter(
            "fcnserve_upstream_retries",
            "Requests to TorchServe that were repeated, for lack of a worker or after a crash",
            ["model"],
        )
        self.ready = Gauge(
            "fcnserve_ready",
            "1 while a worker has answered within the window",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.model_ready = Gauge(
            "fcnserve_model_ready",
            "1 while a model's workers have answered within the window",
            ["model"],
            registry=registry,
            multiprocess_mode="livemin",
        )
        build_info = Gauge(
            "fcnserve_build_info",
            "1, labelled with the release that runs",
            ["version"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        build_info.labels(version("fcnserve")).set(1)
        # at zero from the start: a rate needs a value before the first event
        for model in models:
            self._start(model)
        for problem in ProblemError.__subclasses__():
            self.rejections.labels(problem.code)
        self.rejections.labels(CLIENT_GONE)

    def observe_answer(self, route: str, status: int, code: str, seconds: float) -> None:
        self.requests.labels(route, str(status), code).inc()
        self.request_seconds.labels(route).observe(seconds)

    def observe_stages(self, stages: StageTimes, model: str) -> None:
        for verb, ms in stages.ms.items():
            self.stage_seconds.labels(model, verb).observe(ms / 1000)

    def observe_photo(self, pixels: int) -> None:
        """Count an admitted photo by its own size."""
        self.image_pixels.observe(pixels)

    def reject(self, reason: str, images: int = 1) -> None:
        """Count images without a result; `reason` is a problem's code, or CLIENT_GONE."""
        self.rejections.labels(reason).inc(images)

    def attempt(self, model: str, outcome: str) -> None:
        """Count an image sent to TorchServe; `outcome` is one of OUTCOMES."""
        self.attempts.labels(model, outcome).inc()

    def retry(self, model: str) -> None:
        """Count a request to TorchServe that is about to be repeated."""
        self.retries.labels(model).inc()

    def _start(self, model: str) -> None:
        for outcome in OUTCOMES:
            self.attempts.labels(model, outcome)
        self.retries.labels(model)
        self.model_ready.labels(model)
        self.queue.of(model)
        self.reports.start(model)
