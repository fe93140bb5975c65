"""A simulated cluster: what is sent is counted once, and load fills what it should fill."""

from dataclasses import replace

import pytest

from loadtest.simulation.cluster import Observed, Scenario, simulate
from loadtest.simulation.costs import costs_of
from loadtest.simulation.figures import Prices, figures_of
from loadtest.simulation.run import GPU_POD, scenarios, table_of

PRICES = Prices(worker=2.0, processor=0.04)
SMALL = Scenario("small", 2, 2, 1, 400.0, 0.3, GPU_POD, costs_of("gpu"), warm_up_s=0.1)


@pytest.fixture(scope="module")
def observed() -> Observed:
    return simulate(SMALL)


def test_every_arrival_is_answered_while_there_is_room(observed: Observed) -> None:
    assert (observed.refused, observed.failed) == (0, 0)
    assert len(observed.latencies_s) == pytest.approx(120, rel=0.3)
    alone_s = 2 * SMALL.costs.gateway_ms / 2000
    assert min(observed.latencies_s) > alone_s


def test_the_same_scenario_has_the_same_figures(observed: Observed) -> None:
    assert simulate(SMALL) == observed


def test_the_fullest_part_is_the_one_that_has_least_to_spare() -> None:
    slow_gpu = replace(SMALL, costs=costs_of("gpu", 8.0))
    slow_gateway = replace(SMALL, costs=replace(SMALL.costs, gateway_ms=4.0))
    found = [figures_of(each, simulate(each), PRICES).fullest for each in (slow_gpu, slow_gateway)]
    assert found == ["GPUs", "gateways"]


def test_beyond_the_limit_images_are_refused_and_latency_is_bounded() -> None:
    overloaded = replace(SMALL, costs=costs_of("gpu", 40.0), max_in_flight=8)
    figures = figures_of(overloaded, simulate(overloaded), PRICES)
    assert figures.refused_share > 0.2
    assert figures.p99_ms is not None
    assert figures.p99_ms < 1000


def test_a_slow_worker_gets_fewer_images() -> None:
    slow = replace(SMALL, workers=4, costs=costs_of("gpu", 8.0), slow_workers=1, slowness=4.0)
    figures = figures_of(slow, simulate(slow), PRICES)
    assert figures.slow_share is not None
    assert figures.slow_share < 0.6


def test_a_million_masks_cost_what_the_machines_cost_meanwhile(observed: Observed) -> None:
    figures = figures_of(SMALL, observed, PRICES)
    hours = 1e6 / figures.masks_per_s / 3600
    assert figures.cost_per_million == pytest.approx(hours * (2 * 2.0 + 2 * 0.04))


def test_the_table_has_a_row_for_each_scenario(observed: Observed) -> None:
    planned = scenarios(1.0, 50_000, 1.0)
    assert {(each.workers, each.gateways) for each in planned} >= {(100, 10)}
    row = figures_of(SMALL, observed, PRICES)
    assert len(table_of([row, row]).splitlines()) == 4
