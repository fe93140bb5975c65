"""The workers' metrics: batches, forward passes and class pixels from the reports in their answers,
and the models from their cards.

Reports come from `service.backend.attempt`, cards from `service.backend.registry`. Part of
`service.metrics.gateway`.
"""

import collections
from collections.abc import Iterable, Mapping
from functools import cache, partial

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from handlers.shared.model_card import WorkerModelCard
from handlers.shared.wire import GroupFigures, Report
from service.metrics.kept import Counter, Histogram

IMAGES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
MODEL = ("model",)
CARD_LABELS = ("name", "version", "digest", "architecture", "precision", "device")


class ReportMetrics:
    """Batches, forward passes, and the classes predicted in photos."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter = partial(Counter, registry=registry)
        histogram = partial(Histogram, registry=registry)
        self.batch_images = histogram(
            "fcnserve_batch_images", "Images per TorchServe batch", MODEL, buckets=IMAGES
        )
        self.group_images = histogram(
            "fcnserve_group_images", "Images per forward pass", MODEL, buckets=IMAGES
        )
        self.group_fill = histogram(
            "fcnserve_group_fill_ratio",
            "Share of a forward pass's canvas pixels that are photo",
            MODEL,
            buckets=RATIOS,
        )
        self.valid_pixels = counter(
            "fcnserve_valid_pixels", "Working pixels of the images in forward passes", MODEL
        )
        self.padded_pixels = counter(
            "fcnserve_padded_pixels", "Canvas pixels of forward passes, padding included", MODEL
        )
        self.predicted_pixels = counter(
            "fcnserve_predicted_pixels",
            "Mask pixels, by the class that the model saw",
            ["model", "class"],
        )
        self.models = ModelInfo()
        # by tag: the counters of a model's classes, once its card is read, and what was seen before
        self._classes: dict[str, list[Counter]] = {}
        self._unnamed: dict[str, collections.Counter[int]] = {}
        self._batch_images = cache(self.batch_images.labels)
        self._groups = cache(self._group_metrics)

    def observe(self, report: Report, tag: str) -> None:
        """Count one answer; the worker reports a batch and a group with one answer each."""
        model = model_of(tag)
        if report.batch_images is not None:
            self._batch_images(model).observe(report.batch_images)
        if report.group is not None:
            self._observe_group(report.group, model)
        if report.class_pixels:
            self._count_classes(tag, report.class_pixels)

    def show(self, card: WorkerModelCard) -> None:
        """Show a model as the current one of its name."""
        self.models.show(card)
        self._classes[card.tag] = [  # at zero from the start, as in `start`
            self.predicted_pixels.labels(card.name, class_name) for class_name in card.classes
        ]
        self._count_classes(card.tag, self._unnamed.pop(card.tag, {}))

    def start(self, model: str) -> None:
        """Create a model's metrics before its first answer: a rate needs a value to start from."""
        for histogram in (self.batch_images, self.group_images, self.group_fill):
            histogram.labels(model)
        for pixels in (self.valid_pixels, self.padded_pixels):
            pixels.labels(model)

    def _observe_group(self, group: GroupFigures, model: str) -> None:
        images, fill, valid, padded = self._groups(model)
        images.observe(group.images)
        fill.observe(group.valid_pixels / group.padded_pixels)
        valid.inc(group.valid_pixels)
        padded.inc(group.padded_pixels)

    def _group_metrics(self, model: str) -> tuple[Histogram, Histogram, Counter, Counter]:
        return (
            self.group_images.labels(model),
            self.group_fill.labels(model),
            self.valid_pixels.labels(model),
            self.padded_pixels.labels(model),
        )

    def _count_classes(self, tag: str, class_pixels: Mapping[int, int]) -> None:
        """Count a mask's pixels by class name, or by class id until the model's card is read."""
        if counters := self._classes.get(tag):
            for class_id, pixels in class_pixels.items():
                counters[class_id].inc(pixels)
        else:
            self._unnamed.setdefault(tag, collections.Counter()).update(class_pixels)


def model_of(tag: str) -> str:
    """Return the name of name@digest."""
    return tag.partition("@")[0]


class ModelInfo(Collector):
    """The current models, as the scraped process has read their cards; exchanged ones are gone."""

    def __init__(self) -> None:
        self._cards: dict[str, WorkerModelCard] = {}

    def show(self, card: WorkerModelCard) -> None:
        self._cards[card.name] = card

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "fcnserve_model_info",
            "1 for each model served, labelled with its card",
            labels=CARD_LABELS,
        )
        for card in self._cards.values():
            family.add_metric([getattr(card, label) for label in CARD_LABELS], 1)
        yield family
