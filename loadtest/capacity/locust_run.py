"""One run of Locust, headless, in a process of its own: traffic in, rows and gauges out."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from os import environ
from typing import Any

from loadtest.capacity.figures import Figures, figures_of
from loadtest.measure.gauges import Gauges, gauging
from loadtest.measure.series import early_and_late, series_of
from loadtest.traffic.environment import Traffic
from loadtest.traffic.record import Row, read_rows
from loadtest.traffic.shapes import SHAPES, Stage
from service.settings import ROOT

LOCUSTFILE = ROOT / "loadtest" / "locustfile.py"
RAW = ROOT / "run" / "loadtest"  # Locust's own reports, and a row a request
PATIENCE_S = 60
SOME_FAILED = 1  # Locust's exit code


class LocustError(RuntimeError):
    """Locust did not run to its end; its log says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service is, and its processes where they can be seen."""

    url: str
    pids: Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a run."""

    traffic: Traffic
    stages: Sequence[Stage]
    begun: float
    rows: Sequence[Row]
    gauges: Gauges

    @property
    def seconds(self) -> float:
        return self.stages[-1].ends_s

    def figures(self) -> list[Figures]:
        return [figures_of(stage, self.begun, self.rows, self.gauges) for stage in self.stages]

    def series(self) -> dict[str, Any]:
        """Rates and latencies by the second in which requests were due, and memory."""
        return series_of(self.rows, self.gauges, self.begun, ceil(self.seconds))

    def memory_mb(self) -> dict[str, tuple[float, float]]:
        """Medians of a tenth of the samples by process, once under way and at the end."""
        used_mb = self.series()["resident_mb"]
        return {name: early_and_late(each) for name, each in used_mb.items() if each}


def run_locust(place: Place, traffic: Traffic) -> Ran:
    """Have Locust run a shape to its end; its reports go to `RAW`."""
    RAW.mkdir(parents=True, exist_ok=True)
    stem = RAW / traffic.shape
    log = stem.with_suffix(".rows.csv")
    log.unlink(missing_ok=True)
    command = [
        *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--host", place.url),
        *("--headless", "--only-summary", "--stop-timeout", str(PATIENCE_S)),
        *("--csv", str(stem), "--html", str(stem.with_suffix(".html"))),
    ]
    environment = {**environ, **traffic.environment(), "LOADTEST_LOG": str(log)}
    said = stem.with_suffix(".log")
    with said.open("w") as file:
        client = subprocess.Popen(command, env=environment, stdout=file, stderr=file, cwd=ROOT)
        try:
            with gauging(place.url, {**place.pids, "client": [client.pid]}) as gauges:
                code = client.wait()
        finally:
            client.kill()
    if code > SOME_FAILED:
        raise LocustError(f"Locust ended with {code}:\n{said.read_text()[-3000:]}")
    stages = SHAPES[traffic.shape].stages(traffic.capacity, traffic.seconds)
    return Ran(traffic, stages, *read_rows(log), gauges)
