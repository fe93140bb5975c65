"""The rules' files name metrics that exist, and each alert says what was seen and what to do."""

import re
from math import floor
from pathlib import Path

import pytest
import yaml

import service.errors  # noqa: F401 - fills ProblemError's family
from deploy.grafana.boards import SCRAPE_INTERVAL_S, boards
from deploy.grafana.prometheus import Prometheus, Series
from handlers.shared.errors import ProblemError
from tests.support.promql import alerts, has_data, known_metrics, metric_names, rules

ROOT = Path(__file__).parents[3]
RUNBOOK = ROOT / "docs" / "operations.md"
ALERTS = alerts()
# like 429: nothing was begun, and the client comes again, or mends its request
REFUSALS = {"draining", "too_many_connections", "unsupported_transfer_coding"}


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_a_selector_is_distinguished_from_functions_labels_and_words() -> None:
    expr = 'sum by (le, x) (rate(a:b_total{c="d or e"}[5m])) / 1e6 > bool 0.5 and on (f) up'
    assert metric_names(expr) == {"a:b_total", "up"}


class OneSample(Prometheus):
    """Has one sample, which each step from its time on shows."""

    def __init__(self, time_s: float) -> None:
        self._time_s = time_s

    def over(self, expr: str, start: float, end: float, step_s: float) -> list[Series]:
        steps = floor((end - start) / step_s + 1e-6)
        times = [start + step_s * step for step in range(steps + 1)]
        shown = tuple(each for each in times if each >= self._time_s)
        return [Series({"name": expr}, shown, (1.0,) * len(shown))]


@pytest.mark.parametrize("age_s", [0.0, 0.1, 4.9, 30.0])
@pytest.mark.parametrize("seconds", [40.0, 41.5, 44.99])
def test_data_are_found_however_young_their_only_sample_is(age_s: float, seconds: float) -> None:
    assert has_data(OneSample(100.0 - age_s), "up", 100.0 - seconds, 100.0)
    assert not has_data(OneSample(101.0), "up", 100.0 - seconds, 100.0)


@pytest.mark.parametrize(
    "rule", list(rules()), ids=lambda rule: rule.get("alert") or rule["record"]
)
def test_a_rule_reads_metrics_that_exist(rule: dict[str, str]) -> None:
    names = metric_names(rule["expr"])
    assert names
    assert names - known_metrics() == set()


def test_every_5xx_but_a_refusal_counts_as_a_failure() -> None:
    ours = {kind.code for kind in ProblemError.__subclasses__() if kind.status >= 500} - REFUSALS
    counted = [
        set(re.findall(r"\w+", matched))
        for rule in rules()
        for matched in re.findall(r'reason=~"(.+?)"', rule["expr"])
    ]
    assert counted == [ours] * 7, "windows"


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_a_severity_and_says_what_was_seen_and_what_to_do(name: str) -> None:
    assert ALERTS[name]["labels"]["severity"] in {"page", "ticket"}
    annotations = ALERTS[name]["annotations"]
    assert len(annotations["summary"]) < 80
    assert len(annotations["description"].split(".")) > 2, "one sentence for each"


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_links_to_its_section_of_the_runbook(name: str) -> None:
    page, anchor = ALERTS[name]["annotations"]["runbook_url"].split("#")
    assert ROOT / page == RUNBOOK
    assert anchor == name.lower()
    assert anchor in anchors(RUNBOOK)


def test_the_runbook_has_no_alert_that_is_gone() -> None:
    section = RUNBOOK.read_text().partition("\n## Alerts\n")[2].partition("\n## ")[0]
    assert re.findall(r"^### (\w+)$", section, re.MULTILINE) == list(ALERTS)


def test_a_panel_that_an_alert_or_the_runbook_names_exists() -> None:
    titles = {panel.title for board in boards() for panel in board.panels}
    texts = [rule["annotations"]["description"] for rule in ALERTS.values()]
    named = {name for text in [*texts, RUNBOOK.read_text()] for name in re.findall('"(.+?)"', text)}
    assert named
    assert named - titles == set()


def test_the_scrape_interval_is_the_same_everywhere() -> None:
    prometheus = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    provisioned = ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml"
    (source,) = yaml.safe_load(provisioned.read_text())["datasources"]
    expected = f"{SCRAPE_INTERVAL_S}s"
    assert prometheus["global"]["scrape_interval"] == expected
    assert source["jsonData"]["timeInterval"] == expected
