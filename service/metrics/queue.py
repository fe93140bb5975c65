"""The gauges of how full the gateway is: bodies arriving, images in flight, waiting in the queue,
and dispatched to TorchServe.

They follow what `service.body.budget`, `service.pipeline.admission` and
`service.backend.dispatcher` count. A scrape shows the sum over the live processes.
"""

from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry

from service.metrics.kept import Gauge

MODEL = ("model",)


@dataclass(frozen=True, slots=True)
class ModelQueueMetrics:
    """The gauges of one model's queue."""

    images_waiting: Gauge
    seconds_waiting: Gauge
    images_dispatched: Gauge
    seconds_dispatched: Gauge


class QueueMetrics:
    """Gauges in images and, since images differ by a factor of 100,000, in predicted seconds."""

    def __init__(self, registry: CollectorRegistry) -> None:
        gauge = partial(Gauge, registry=registry, multiprocess_mode="livesum")
        self.in_flight = gauge("fcnserve_images_in_flight", "Images accepted and not yet answered")
        self.bytes_in_flight = gauge("fcnserve_bytes_in_flight", "Bytes of the bodies in flight")
        self.bodies_reading = gauge("fcnserve_bodies_reading", "Request bodies that are arriving")
        self.bytes_reading = gauge(
            "fcnserve_bytes_reading", "Bytes that have arrived of the bodies that are arriving"
        )
        self.seconds_in_flight = gauge(
            "fcnserve_seconds_in_flight", "Predicted CPU seconds of the images in flight"
        )
        self.in_flight_limit = Gauge(
            "fcnserve_in_flight_limit",
            "Images in flight beyond which requests are rejected",
            registry=registry,
            multiprocess_mode="livemax",  # one limit for all processes together
        )
        self.images_waiting = gauge(
            "fcnserve_images_waiting",
            "Images that wait in the gateway for room in TorchServe",
            MODEL,
        )
        self.seconds_waiting = gauge(
            "fcnserve_seconds_waiting", "Predicted CPU seconds of the images that wait", MODEL
        )
        self.images_dispatched = gauge(
            "fcnserve_images_handed_over", "Images that TorchServe has and has not answered", MODEL
        )
        self.seconds_dispatched = gauge(
            "fcnserve_seconds_handed_over",
            "Predicted CPU seconds of the images that TorchServe has",
            MODEL,
        )

    def of(self, model: str) -> ModelQueueMetrics:
        """Return one model's gauges."""
        return ModelQueueMetrics(
            self.images_waiting.labels(model),
            self.seconds_waiting.labels(model),
            self.images_dispatched.labels(model),
            self.seconds_dispatched.labels(model),
        )
