"""What Prometheus sees. The registry is a parameter, so that tests have their own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.stages import Stages
from service.upstream import Report

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
IMAGES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)


class Metrics:
    """All metrics of one gateway process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.requests = Counter(
            "fcnserve_requests",
            "Requests answered, by route, status and problem code",
            ["route", "status", "code"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "fcnserve_request_duration_seconds",
            "From a request's arrival to its answer's last byte, by route",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self.stage_seconds = Histogram(
            "fcnserve_stage_duration_seconds",
            "Time per pipeline verb of an answered image",
            ["stage"],
            buckets=SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "fcnserve_images_in_flight", "Images accepted and not yet answered", registry=registry
        )
        self.images_waiting = Gauge(
            "fcnserve_images_waiting",
            "Images that wait in the gateway for room in TorchServe",
            registry=registry,
        )
        self.images_handed_over = Gauge(
            "fcnserve_images_handed_over",
            "Images that TorchServe has and has not answered",
            registry=registry,
        )
        self.batch_images = Histogram(
            "fcnserve_batch_images",
            "Images per TorchServe batch",
            buckets=IMAGES,
            registry=registry,
        )
        self.group_images = Histogram(
            "fcnserve_group_images",
            "Images per forward pass",
            buckets=IMAGES,
            registry=registry,
        )
        self.valid_pixels = Counter(
            "fcnserve_valid_pixels",
            "Working pixels of the images in forward passes",
            registry=registry,
        )
        self.padded_pixels = Counter(
            "fcnserve_padded_pixels",
            "Canvas pixels of forward passes, padding included",
            registry=registry,
        )
        self.ready = Gauge(
            "fcnserve_ready", "1 while a worker has answered within the window", registry=registry
        )

    def observe_answer(self, route: str, status: int, code: str, seconds: float) -> None:
        self.requests.labels(route, str(status), code).inc()
        self.request_seconds.labels(route).observe(seconds)

    def observe_stages(self, stages: Stages) -> None:
        for verb, ms in stages.ms.items():
            self.stage_seconds.labels(verb).observe(ms / 1000)

    def observe_report(self, report: Report) -> None:
        """Count a batch and a group once: the worker tells of each with one answer only."""
        if report.batch_images is not None:
            self.batch_images.observe(report.batch_images)
        if report.group is not None:
            self.group_images.observe(report.group["images"])
            self.valid_pixels.inc(report.group["valid_pixels"])
            self.padded_pixels.inc(report.group["padded_pixels"])
