"""The counters of a gateway are read by the names of its metrics."""

from prometheus_client import CollectorRegistry, generate_latest

from handlers.shared.wire import GroupFigures, Report
from loadtest.measure.counters import METRICS, sum_counters
from service.metrics.worker_reports import ReportMetrics


def test_counters_are_summed_over_models_and_complete() -> None:
    registry = CollectorRegistry()
    metrics = ReportMetrics(registry)
    group = GroupFigures(images=2, valid_pixels=50, padded_pixels=64)
    for tag in ("cats@0", "dogs@1"):
        metrics.observe(Report({}, 3, group, {}), tag)
    found = sum_counters(generate_latest(registry).decode())
    assert found.keys() == METRICS.keys()
    assert (found["batches"], found["batched_images"]) == (2, 6)
    assert (found["counted_pixels"], found["padded_pixels"]) == (100, 128)


def test_counters_that_a_gateway_does_not_expose_are_left_out() -> None:
    assert sum_counters(generate_latest(CollectorRegistry()).decode()) == {}
