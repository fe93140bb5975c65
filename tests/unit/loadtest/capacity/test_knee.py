"""The knee, and the resource that saturates first."""

import pytest

from loadtest.capacity.knee import find_knee, saturation_text
from tests.support.load_runs import step, using

LIMIT_MS = 500


@pytest.mark.parametrize(
    "broken",
    [
        {"answered": 40.0},
        {"error_share": 0.01},
        {"ms": {"p50": 100.0, "p95": 400.0, "p99": 501.0}},
    ],
    ids=["falls behind", "has errors", "is slow"],
)
def test_the_knee_is_the_last_step_before_the_first_that_is_not_sustained(
    broken: dict[str, object],
) -> None:
    steps = [step(10), step(30), step(50, **broken), step(70)]
    assert find_knee(steps, LIMIT_MS) == steps[1]


def test_there_is_no_knee_where_the_first_step_is_not_sustained() -> None:
    assert find_knee([step(10, error_share=1.0), step(20)], LIMIT_MS) is None


def test_the_knee_is_the_last_step_where_all_are_sustained() -> None:
    assert find_knee([step(10), step(20)], LIMIT_MS) == step(20)


def test_of_a_saturated_machine_the_process_with_the_largest_share_is_named() -> None:
    full = step(50, usage=using(1.9, gateway=0.2, workers=1.5, client=0.2))
    assert "processors saturate first, and the workers" in saturation_text(full, 2, 1)


def test_a_gateway_has_one_core_per_process() -> None:
    busy = step(50, usage=using(2.0, gateway=0.9, workers=1.0))
    assert "The gateway has the smallest reserve: 90%" in saturation_text(busy, 16, 1)
    assert "No processor is the limit" in saturation_text(busy, 16, 4)


def test_nothing_is_claimed_about_a_service_elsewhere() -> None:
    assert "elsewhere" in saturation_text(step(50, usage=using(0.3, client=0.2)), 2, 1)
    assert "elsewhere" in saturation_text(step(50), 2, 1)


def test_a_saturated_client_is_reported_for_a_service_elsewhere_too() -> None:
    text = saturation_text(step(50, usage=using(1.0, client=0.95)), 8, 1)
    assert "The client has the smallest reserve: 95%" in text
