"""The dashboards' files are valid for Grafana: panels do not overlap, have a description, and query
metrics that exist.
"""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.boards import FOLDER, Board, Panel, boards
from deploy.grafana.units import write_value
from service.metrics.stage_times import VERBS
from tests.support.promql import known_metrics, metric_names

BOARDS = {board.name: board for board in boards()}
PANELS = {f"{board.name}: {panel.title}": panel for board in boards() for panel in board.panels}
PROVISIONING = FOLDER.parent / "provisioning"


def text_of(name: str) -> dict[str, Any]:
    return dict(json.loads((FOLDER / f"{name}.json").read_text()))


def test_boards_have_their_titles_and_panels_of_different_names() -> None:
    titles = {board.title for board in BOARDS.values()}
    assert titles == {f"fcnserve: {name}" for name in ("overview", "capacity", "workers")}
    assert len(PANELS) == sum(len(board.panels) for board in BOARDS.values())


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_panels_are_on_the_grid_and_do_not_overlap(board: Board) -> None:
    for one, other in combinations(board.panels, 2):
        assert not one.box.overlaps(other.box), (one.title, other.title)
    assert all(panel.box.x + panel.box.w <= 24 for panel in board.panels)


@pytest.mark.parametrize("name", BOARDS)
def test_boards_panels_and_queries_have_distinct_ids(name: str) -> None:
    text = text_of(name)
    assert text["uid"] == f"fcnserve-{name}"
    ids = [panel["id"] for panel in text["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in text["panels"]:
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters)


@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
def test_a_panel_has_a_title_a_description_and_a_unit(panel: Panel) -> None:
    assert panel.title
    assert panel.description.endswith(".")
    assert write_value(1.0, panel.unit)
    assert panel.queries
    assert all(query.legend for query in panel.queries)


@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
def test_a_panel_queries_metrics_that_exist(panel: Panel) -> None:
    for query in panel.queries:
        names = metric_names(query.over(5, 60))
        assert names
        assert names - known_metrics() == set()


@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
def test_an_override_is_about_a_series_that_the_panel_has(panel: Panel) -> None:
    legends = {query.legend for query in panel.queries}
    for override in panel.looks["overrides"]:
        if override["matcher"]["id"] == "byName":
            assert override["matcher"]["options"] in legends


def test_stages_are_stacked_in_the_order_of_the_pipeline() -> None:
    panel = PANELS["overview: Time per stage"]
    assert tuple(query.legend for query in panel.queries) == VERBS
    assert panel.looks["defaults"]["custom"]["stacking"]["mode"] == "normal"


@pytest.mark.parametrize("name", BOARDS)
def test_every_query_goes_to_the_data_source_that_is_provisioned(name: str) -> None:
    (source,) = yaml.safe_load((PROVISIONING / "datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    text = text_of(name)
    asking = [*text["panels"], *text["annotations"]["list"]]
    asking += [target for panel in text["panels"] for target in panel["targets"]]
    assert {each["datasource"]["uid"] for each in asking} == {source["uid"]}


def test_grafana_is_configured_to_read_the_folder_of_the_boards() -> None:
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards/fcnserve.yml").read_text())[
        "providers"
    ]
    compose = yaml.safe_load((Path(__file__).parents[3] / "docker-compose.yml").read_text())
    mounts = compose["services"]["grafana"]["volumes"]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in mounts


@pytest.mark.parametrize(
    ("value", "unit", "written"),
    [
        (0.0125, "s", "12.5 ms"),
        (0.0, "s", "0 s"),
        (90.0, "s", "90 s"),
        (1.5 * 2**30, "bytes", "1.5 GiB"),
        (0.875, "percentunit", "87.5 %"),
        (1234.0, "suffix: /s", "1.23 k/s"),
        (float("nan"), "none", ""),
    ],
)
def test_a_value_is_written_as_grafana_does(value: float, unit: str, written: str) -> None:
    assert write_value(value, unit) == written
