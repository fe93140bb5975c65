"""The metrics of readiness: of the gateway and of each model.

Called by `service.backend.health`. Part of `service.metrics.gateway`.
"""

from functools import partial

from prometheus_client import CollectorRegistry

from service.metrics.kept import Gauge


class ReadinessMetrics:
    """Gauges of 0 and 1; several processes show the least."""

    def __init__(self, registry: CollectorRegistry) -> None:
        gauge = partial(Gauge, registry=registry, multiprocess_mode="livemin")
        self.ready = gauge("fcnserve_ready", "1 while a worker has answered within the window")
        self.model_ready = gauge(
            "fcnserve_model_ready",
            "1 while a model's workers have answered within the window",
            ["model"],
        )

    def show(self, ready: bool) -> None:
        self.ready.set(ready)

    def show_model(self, model: str, ready: bool) -> None:
        self.model_ready.labels(model).set(ready)

    def start(self, model: str) -> None:
        """Create a model's gauge at zero."""
        self.model_ready.labels(model)
