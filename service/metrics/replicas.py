"""The metrics of each replica, a TorchServe: whether it takes images, what it has, how fast it is.

They are read from the replicas that the scraped process has at a scrape, so that those of a replica
that is gone disappear; counts are those of all gateway processes together. Descriptions of replicas
come from `service.backend.replicas`. Part of `service.metrics.gateway`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

LABELS = ("replica", "model")


class ShownReplica(NamedTuple):
    """One model at one replica."""

    replica: str
    model: str
    digest: str
    device: str
    is_ready: bool
    is_draining: bool
    is_excluded: bool
    images: int
    seconds: float
    speed: float
    answered: float
    failed: float


GAUGES: Mapping[str, tuple[str, Callable[[ShownReplica], float]]] = {
    "fcnserve_replica_ready": (
        "1 while a TorchServe takes images of a model",
        lambda each: each.is_ready,
    ),
    "fcnserve_replica_draining": (
        "1 while a TorchServe is about to stop, and gets no more images",
        lambda each: each.is_draining,
    ),
    "fcnserve_replica_excluded": (
        "1 while a TorchServe gets no images, since its digest is not the pinned one",
        lambda each: each.is_excluded,
    ),
    "fcnserve_replica_images_handed_over": (
        "Images that a TorchServe has of the scraped gateway process",
        lambda each: each.images,
    ),
    "fcnserve_replica_seconds_handed_over": (
        "Predicted CPU seconds of the images that a TorchServe has",
        lambda each: each.seconds,
    ),
    "fcnserve_replica_speed_ratio": (
        "Predicted CPU seconds that a TorchServe answers per second of time, as measured lately",
        lambda each: each.speed,
    ),
}


class ReplicaMetrics(Collector):
    """The replicas at the time of a scrape."""

    def __init__(self) -> None:
        self._replicas: Callable[[], Iterable[ShownReplica]] = lambda: ()

    def follow(self, replicas: Callable[[], Iterable[ShownReplica]]) -> None:
        """Take the function that describes the replicas, from any thread."""
        self._replicas = replicas

    def collect(self) -> Iterable[Metric]:
        found = list(self._replicas())
        for name, (what, read) in GAUGES.items():
            gauge = GaugeMetricFamily(name, what, labels=LABELS)
            for each in found:
                gauge.add_metric([each.replica, each.model], float(read(each)))
            yield gauge
        yield images_of(found)
        yield info_of(found)


def images_of(found: Iterable[ShownReplica]) -> Metric:
    images = CounterMetricFamily(
        "fcnserve_replica_images_total",
        "Attempts at images by the TorchServe that they were sent to: answered, or failed",
        labels=(*LABELS, "outcome"),
    )
    for each in found:
        images.add_metric([each.replica, each.model, "answered"], each.answered)
        images.add_metric([each.replica, each.model, "failed"], each.failed)
    return images


def info_of(found: Iterable[ShownReplica]) -> Metric:
    info = GaugeMetricFamily(
        "fcnserve_replica_info",
        "1 for each TorchServe and model, labelled with its digest and device",
        labels=(*LABELS, "digest", "device"),
    )
    for each in found:
        if each.digest:
            info.add_metric([each.replica, each.model, each.digest, each.device], 1)
    return info
