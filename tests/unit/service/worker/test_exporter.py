"""The worker's own server: health check, metrics, and what a port in use and many scrapes do."""

import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import pairwise

import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector

from service.worker.exporter import CACHE_S, CachedMetrics, application, exporting


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize(("healthy", "status"), [(True, 200), (False, 503)])
def test_healthz_reports_whether_torchserve_answers(healthy: bool, status: int) -> None:
    app = application(CollectorRegistry(), lambda: healthy)
    with exporting("127.0.0.1", 0, app) as port:
        assert get(port, "/healthz")[0] == status
        assert get(port, "/metrics")[0] == 200
        assert get(port, "/")[0] == 404


def test_a_port_in_use_is_an_error() -> None:
    app = application(CollectorRegistry(), lambda: True)
    with exporting("127.0.0.1", 0, app) as port:
        second = exporting("127.0.0.1", port, app)
        with pytest.raises(OSError, match="in use"):
            second.__enter__()


def test_many_scrapes_collect_the_metrics_once_a_second() -> None:
    collected: list[float] = []

    class Counting(Collector):
        def collect(self) -> Iterator[Metric]:
            collected.append(time.monotonic())
            yield from ()

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Counting())
    collected.clear()
    metrics = CachedMetrics(registry)
    for _ in range(1000):
        metrics.text()
    assert all(later - earlier >= CACHE_S for earlier, later in pairwise(collected))
    assert collected
