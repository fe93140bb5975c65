"""The workers' metrics: batches, forward passes and class pixels from the reports in their answers,
and the models from their cards.

Reports come from `service.backend.attempt`, cards from `service.backend.registry`. MixedPart of
`service.metrics.gateway`.
"""

import collections
from collections.abc import Iterable
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from handlers.shared.model_card import WorkerModelCard
from handlers.shared.wire import GroupFigures, Report

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
        # by tag: pixels of a model whose card has not been read yet
        self._unnamed: dict[str, collections.Counter[int]] = {}

    def observe(self, report: Report, tag: str) -> None:
        """Count one answer; the worker reports a batch and a group with one answer each."""
        model = model_of(tag)
        if report.batch_images is not None:
            self.batch_images.labels(model).observe(report.batch_images)
        if report.group is not None:
            self._observe_group(report.group, model)
        if report.class_pixels:
            self._unnamed.setdefault(tag, collections.Counter()).update(report.class_pixels)
            self._name_classes(tag)

    def show(self, card: WorkerModelCard) -> None:
        """Show a model as the current one of its name."""
        self.models.show(card)
        for class_name in card.classes:  # at zero from the start, as in `start`
            self.predicted_pixels.labels(card.name, class_name)
        self._name_classes(card.tag)

    def start(self, model: str) -> None:
        """Create a model's metrics before its first answer: a rate needs a value to start from."""
        for histogram in (self.batch_images, self.group_images, self.group_fill):
            histogram.labels(model)
        for pixels in (self.valid_pixels, self.padded_pixels):
            pixels.labels(model)

    def _observe_group(self, group: GroupFigures, model: str) -> None:
        valid, padded = group.valid_pixels, group.padded_pixels
        self.group_images.labels(model).observe(group.images)
        self.group_fill.labels(model).observe(valid / padded)
        self.valid_pixels.labels(model).inc(valid)
        self.padded_pixels.labels(model).inc(padded)

    def _name_classes(self, tag: str) -> None:
        """Move pixels that were counted by class id to the class names, once their card is read."""
        if card := self.models.by_tag(tag):
            for class_id, pixels in self._unnamed.pop(tag, {}).items():
                self.predicted_pixels.labels(card.name, card.classes[class_id]).inc(pixels)


def model_of(tag: str) -> str:
    """Return the name of name@digest."""
    return tag.partition("@")[0]


class ModelInfo(Collector):
    """The current models, as the scraped process has read their cards; exchanged ones are gone."""

    def __init__(self) -> None:
        self._cards: dict[str, WorkerModelCard] = {}

    def show(self, card: WorkerModelCard) -> None:
        self._cards[card.name] = card

    def by_tag(self, tag: str) -> WorkerModelCard | None:
        return next((card for card in self._cards.values() if card.tag == tag), None)

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "fcnserve_model_info",
            "1 for each model served, labelled with its card",
            labels=CARD_LABELS,
        )
        for card in self._cards.values():
            family.add_metric([getattr(card, label) for label in CARD_LABELS], 1)
        yield family
