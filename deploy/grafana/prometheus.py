"""Queries a Prometheus over its HTTP API: https://prometheus.io/docs/prometheus/latest/querying/api/

In: its URL and a query. Out: `Series`. Called by `deploy.grafana.plot` and by the tests of the
containers; five calls need no client library.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

TIMEOUT_S = 30

opener = build_opener(ProxyHandler({}))  # without a proxy: it is a neighbour in the network


class QueryError(Exception):
    """Prometheus rejected a query; the message has the query and the reason."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer: its labels, and its samples, a time and a value each."""

    labels: Mapping[str, str]
    times: tuple[float, ...]
    values: tuple[float, ...]

    @property
    def has_data(self) -> bool:
        """Whether any value is a number: 0 / 0 is none."""
        return any(map(math.isfinite, self.values))

    def name(self, legend: str) -> str:
        """Write Grafana's legend, `{{label}}` replaced by the label's value."""
        for label, value in self.labels.items():
            legend = legend.replace("{{" + label + "}}", value)
        return legend


class Prometheus:
    """A Prometheus at a URL."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def now(self, expr: str) -> list[Series]:
        """Return the present values. Raises QueryError and OSError."""
        found = self._ask("query", {"query": expr})
        if found["resultType"] == "scalar":
            return [read_series({}, [found["result"]])]
        return [read_series(each["metric"], [each["value"]]) for each in found["result"]]

    def over(self, expr: str, start: float, end: float, step_s: float) -> list[Series]:
        """Return the values of a time range. Raises QueryError and OSError."""
        asked = {"query": expr, "start": f"{start}", "end": f"{end}", "step": f"{step_s}"}
        found = self._ask("query_range", asked)
        return [read_series(each["metric"], each["values"]) for each in found["result"]]

    def rules(self) -> list[dict[str, Any]]:
        """Return all rules that it evaluates, with their health."""
        groups = self._ask("rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def targets(self) -> dict[str, str]:
        """Return the health of each job's target."""
        found = self._ask("targets", {"state": "active"})["activeTargets"]
        return {target["labels"]["job"]: target["health"] for target in found}

    def _ask(self, what: str, parameters: Mapping[str, str] | None = None) -> Any:
        query = urlencode(parameters or {})
        try:
            with opener.open(f"{self._url}/api/v1/{what}?{query}", timeout=TIMEOUT_S) as answer:
                return json.load(answer)["data"]
        except HTTPError as error:
            if error.code not in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}:
                raise
            raise QueryError(f"{parameters}: {json.load(error)['error']}") from error


def read_series(labels: Mapping[str, str], samples: list[list[Any]]) -> Series:
    times, values = zip(*((float(time), float(value)) for time, value in samples), strict=True)
    return Series(labels, times, values)
