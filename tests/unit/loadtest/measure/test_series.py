"""A run second by second."""

from loadtest.measure.process_sampler import ProcessSamples
from loadtest.measure.series import early_and_late, series_of
from tests.support.load_runs import logged, sample


def test_a_series_counts_requests_in_the_second_they_were_due() -> None:
    requests = [
        logged(100.2),
        logged(100.9, outcome="429 busy"),
        logged(101.5, outcome="no PNG"),
        logged(99.0),
    ]
    series = series_of(requests, ProcessSamples([sample(99), sample(101)]), 100, 2)
    assert series["due"] == [2, 1]
    assert (series["correct"], series["refused"], series["failed"]) == ([1, 0], [1, 0], [0, 1])
    assert series["p50_ms"] == [50, None]
    assert series["resident_mb"] == {"workers": [201]}


def test_early_memory_is_taken_after_the_run_has_settled() -> None:
    assert early_and_late([0.0] * 10 + [5.0] * 40 + [9.0] * 10) == (5.0, 9.0)
