"""The metrics of images: their sizes, and their time in each stage.

Called by `service.pipeline.admit` and `service.pipeline.render`. Part of
`service.metrics.gateway`.
"""

from functools import cache

from prometheus_client import CollectorRegistry

from service.metrics.buckets import SECONDS
from service.metrics.kept import Histogram
from service.metrics.stage_times import StageTimes

PIXELS = (1e4, 3e4, 1e5, 3e5, 1e6, 3e6, 1e7, 3e7, 1e8)


class ImageMetrics:
    """Histograms over the images of all requests."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.stage_seconds = Histogram(
            "fcnserve_stage_duration_seconds",
            "Time per pipeline verb of an answered image",
            ["model", "stage"],
            buckets=SECONDS,
            registry=registry,
        )
        self.pixels = Histogram(
            "fcnserve_image_pixels",
            "Photos admitted, by their own size in pixels",
            buckets=PIXELS,
            registry=registry,
        )
        self._stage_seconds = cache(self.stage_seconds.labels)

    def observe_photo(self, pixels: int) -> None:
        """Count an admitted photo by its own size."""
        self.pixels.observe(pixels)

    def observe_stages(self, stages: StageTimes, model: str) -> None:
        """Count the time that an answered image took in each stage."""
        for verb, ms in stages.ms.items():
            self._stage_seconds(model, verb).observe(ms / 1000)
