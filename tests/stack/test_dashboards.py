"""A Prometheus that has scraped the running service under load has data for every panel and rule.

Requirements, over the time of the load:
- every query of every panel returns a series with a number (0 / 0 is none); without a GPU, queries
  of GPU metrics have to be valid alone;
- every rule is evaluated without an error, and every recording rule returns a number;
- every alert's expression is valid, and every metric that a rule reads has a number.
An alert's expression itself returns nothing without a fault: tests/stack/test_rules.py tests those.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import pytest

from deploy.grafana.boards import Query, boards
from deploy.grafana.prometheus import Prometheus
from tests.stack.local import local_stack
from tests.stack.traffic import send
from tests.support.polling import wait_until
from tests.support.promql import has_data, metric_names, rules

pytestmark = pytest.mark.stack

LOAD_S, CLIENTS = 40.0, 6
STEP_S = 5
# the slowest group of rules has an interval of a minute
EVALUATED_S = 90.0
GPU_PROBE = "fcnserve_gpu_memory_total_bytes"

QUERIES = {
    f"{board.name}: {panel.title}: {query.legend}": query
    for board in boards()
    for panel in board.panels
    for query in panel.queries
}
RULES = {rule.get("alert") or rule["record"]: rule["expr"] for rule in rules()}
RECORDED = [rule["record"] for rule in rules() if "record" in rule]
SELECTED = sorted(set().union(*map(metric_names, RULES.values())))


@dataclass(frozen=True, slots=True)
class ScrapedLoad:
    """A Prometheus, and the time at which the load began."""

    prometheus: Prometheus
    start: float

    def has_data(self, expr: str) -> bool:
        return has_data(self.prometheus, expr, self.start, time.time())


@pytest.fixture(scope="module")
def addresses(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """URLs of gateway and Prometheus: of the containers, or with STACK=local of processes."""
    if os.environ.get("STACK") == "local":
        settings = {"FCNSERVE_WORKERS": "1", "FCNSERVE_THREADS": "1"}
        with local_stack(tmp_path_factory.mktemp("local"), settings) as local:
            yield local.gateway, local.prometheus
    else:
        stack = request.getfixturevalue("stack")
        yield stack.gateway, stack.prometheus


@pytest.fixture(scope="module")
def scraped(addresses: tuple[str, str]) -> ScrapedLoad:
    """Load the service, and wait for the scrapes and evaluations that follow."""
    gateway, url = addresses
    prometheus = Prometheus(url)
    start = time.time()
    answers = send(gateway, LOAD_S, CLIENTS)
    assert all(is_expected for is_expected, _ in answers), answers
    assert {200, 400, 422, 504} <= {status for _, status in answers}
    wait_until(lambda: is_scraped(gateway, prometheus), EVALUATED_S)
    scraped_at = datetime.now(UTC)
    wait_until(lambda: is_evaluated(prometheus, scraped_at), EVALUATED_S)
    return ScrapedLoad(prometheus, start)


def is_scraped(gateway: str, prometheus: Prometheus) -> bool:
    """Whether Prometheus has the gateway's current count of images."""
    sample = 'fcnserve_stage_duration_seconds_count{model="fcn8s-lite2",stage="render"}'
    lines = httpx.get(f"{gateway}/metrics", trust_env=False).text.splitlines()
    (line,) = (line for line in lines if line.startswith(sample))
    found = prometheus.now(sample)
    return bool(found) and found[0].values[-1] == float(line.split()[-1])


def is_evaluated(prometheus: Prometheus, since: datetime) -> bool:
    """Whether every rule has been evaluated since a time; earlier evaluations may lack data."""
    return all(
        datetime.fromisoformat(rule["lastEvaluation"]) > since for rule in prometheus.rules()
    )


def test_every_target_is_scraped(scraped: ScrapedLoad) -> None:
    assert scraped.prometheus.targets() == dict.fromkeys(
        ("gateway", "worker", "torchserve", "prometheus"), "up"
    )


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_panel_has_data(scraped: ScrapedLoad, query: Query) -> None:
    found = scraped.has_data(query.over(STEP_S, time.time() - scraped.start))
    assert found or (query.needs_gpu and not scraped.has_data(GPU_PROBE))


def test_every_rule_is_evaluated_without_an_error(scraped: ScrapedLoad) -> None:
    evaluated = {rule["name"]: rule["health"] for rule in scraped.prometheus.rules()}
    assert evaluated == dict.fromkeys(RULES, "ok")


@pytest.mark.parametrize("name", RULES)
def test_a_rules_expression_is_valid(scraped: ScrapedLoad, name: str) -> None:
    scraped.prometheus.now(RULES[name])


@pytest.mark.parametrize("name", RECORDED)
def test_a_recording_rule_returns_a_number(scraped: ScrapedLoad, name: str) -> None:
    assert scraped.has_data(name)


@pytest.mark.parametrize("name", SELECTED)
def test_a_metric_that_a_rule_reads_has_data(scraped: ScrapedLoad, name: str) -> None:
    assert scraped.has_data(name)
