"""Claims about what a benchmark reads of a gateway: by the names that its metrics have."""

from prometheus_client import CollectorRegistry, generate_latest

from handlers.shared.wire import GroupFigures, Report
from loadtest.measure.counters import METRICS, sums
from service.metrics.worker_reports import ReportMetrics


def test_counts_of_all_models_are_added_up_and_none_is_missed() -> None:
    registry = CollectorRegistry()
    metrics = ReportMetrics(registry)
    group = GroupFigures(images=2, valid_pixels=50, padded_pixels=64)
    for tag in ("cats@0", "dogs@1"):
        metrics.observe(Report({}, 3, group, {}), tag)
    found = sums(generate_latest(registry).decode())
    assert found.keys() == METRICS.keys()
    assert (found["batches"], found["batched_images"]) == (2, 6)
    assert (found["counted_pixels"], found["padded_pixels"]) == (100, 128)


def test_what_a_gateway_has_not_counted_yet_is_left_out() -> None:
    assert sums(generate_latest(CollectorRegistry()).decode()) == {}
