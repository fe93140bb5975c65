"""Percentiles."""

import pytest

from loadtest.measure.statistics import percentile


@pytest.mark.parametrize(("percent", "value"), [(50, 2.0), (99, 4.0), (0, 1.0), (75, 3.0)])
def test_a_percentile_is_one_of_the_values(percent: float, value: float) -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], percent) == value
    assert percentile([], percent) is None
