"""All metrics of one gateway process, each group in a file of its own.

Made by `service.app`, which hands each group to the parts that count. The registry is a parameter,
so that tests have their own. With several processes each has one, and a scrape of any of them shows
the sums; a gauge's `multiprocess_mode` is how it adds up.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from importlib.metadata import version

from prometheus_client import CollectorRegistry

from service.metrics.attempts import AttemptMetrics
from service.metrics.images import ImageMetrics
from service.metrics.kept import FLUSH_S, Gauge, flushing
from service.metrics.queue import QueueMetrics
from service.metrics.readiness import ReadinessMetrics
from service.metrics.replicas import ReplicaMetrics
from service.metrics.requests import RequestMetrics
from service.metrics.worker_reports import ReportMetrics


class Metrics:
    """The groups, in one registry."""

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
        self.requests = RequestMetrics(registry)
        self.images = ImageMetrics(registry)
        self.queue = QueueMetrics(registry)
        self.attempts = AttemptMetrics(registry)
        self.reports = ReportMetrics(registry)
        self.readiness = ReadinessMetrics(registry)
        self.replicas = ReplicaMetrics()
        self.scraped.register(self.reports.models)
        self.scraped.register(self.replicas)
        show_release(registry)
        for model in models:
            self._start(model)

    def flushing(self) -> AbstractAsyncContextManager[None]:
        """Pass numbers on while the block runs, where another process may be scraped."""
        return nullcontext() if self.scraped is self.registry else flushing()

    @property
    def scrape_delay_s(self) -> float:
        """How long a scrape has to wait for the numbers of other processes."""
        return 0.0 if self.scraped is self.registry else 2 * FLUSH_S

    def _start(self, model: str) -> None:
        self.queue.of(model)
        self.attempts.start(model)
        self.reports.start(model)
        self.readiness.start(model)


def show_release(registry: CollectorRegistry) -> None:
    build_info = Gauge(
        "fcnserve_build_info",
        "1, labelled with the release that runs",
        ["version"],
        registry=registry,
        multiprocess_mode="livemax",
    )
    build_info.labels(version("fcnserve")).set(1)
