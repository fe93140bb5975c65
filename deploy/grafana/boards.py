"""Reads the dashboards' files: each panel's box on the grid, its texts and its queries.

In: `dashboards/*.json`. Out: `Board`s. Called by `deploy.grafana.plot` and by the tests, so that
pictures and checks use the queries of Grafana.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "dashboards"
SCRAPE_INTERVAL_S = 5  # as in deploy/prometheus/prometheus.yml
GPU_METRICS = "fcnserve_gpu_"


@dataclass(frozen=True, slots=True)
class GridBox:
    """A panel's rectangle on Grafana's grid: 24 columns, rows downwards."""

    x: int
    y: int
    w: int
    h: int

    def overlaps(self, other: "GridBox") -> bool:
        across = self.x < other.x + other.w and other.x < self.x + self.w
        return across and self.y < other.y + other.h and other.y < self.y + self.h


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel, with Grafana's variables still in it."""

    expr: str
    legend: str

    @property
    def needs_gpu(self) -> bool:
        return GPU_METRICS in self.expr

    def over(self, step_s: float, range_s: float) -> str:
        """Fill in Grafana's variables: one point per `step_s`, over `range_s` in total."""
        # https://grafana.com/docs/grafana/latest/datasources/prometheus/template-variables/
        rate_interval_s = max(step_s + SCRAPE_INTERVAL_S, 4 * SCRAPE_INTERVAL_S)
        variables = {
            "$__rate_interval": f"{rate_interval_s:.0f}s",
            "$__interval": f"{max(step_s, 1):.0f}s",
            "$__range": f"{range_s:.0f}s",
        }
        expr = self.expr
        for name, value in variables.items():
            expr = expr.replace(name, value)
        if "$" in expr:
            raise ValueError(f"{expr}: has an unknown variable")
        return expr


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel; `looks` are its field options, as Grafana has them."""

    title: str
    description: str
    kind: str
    box: GridBox
    queries: tuple[Query, ...]
    looks: Mapping[str, Any]
    options: Mapping[str, Any]

    @property
    def unit(self) -> str:
        return str(self.looks["defaults"].get("unit", ""))

    def look_of(self, series: str) -> dict[str, Any]:
        """Return the properties that overrides give to the series of this name."""
        return {
            looks["id"]: looks["value"]
            for override in self.looks["overrides"]
            if matches(override["matcher"], series)
            for looks in override["properties"]
        }


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard."""

    name: str
    title: str
    panels: tuple[Panel, ...]


def boards() -> Iterator[Board]:
    """Read every dashboard there is, in order of file name."""
    for path in sorted(FOLDER.glob("*.json")):
        text: dict[str, Any] = json.loads(path.read_text())
        yield Board(path.stem, text["title"], tuple(map(read_panel, text["panels"])))


def read_panel(text: Mapping[str, Any]) -> Panel:
    return Panel(
        text["title"],
        text["description"],
        text["type"],
        GridBox(**text["gridPos"]),
        tuple(Query(target["expr"], target["legendFormat"]) for target in text["targets"]),
        text["fieldConfig"],
        text["options"],
    )


def matches(matcher: Mapping[str, str], series: str) -> bool:
    """Return whether an override applies to the series of this name."""
    match matcher["id"]:
        case "byName":
            return matcher["options"] == series
        case "byRegexp":
            return re.search(matcher["options"].strip("/"), series) is not None
        case other:
            raise ValueError(f"an override matches by {other}, which is not supported here")
