"""One headless run of Locust in a process of its own: a target and traffic in, samples out.

Called by `loadtest.capacity.run` and `loadtest.crosscheck.programs`.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from os import environ
from pathlib import Path
from typing import Any

from loadtest.capacity.figures import StageFigures, figures_of
from loadtest.measure.process_sampler import ProcessSamples, sample_processes
from loadtest.measure.series import early_and_late, series_of
from loadtest.traffic.options import TrafficOptions
from loadtest.traffic.request_log import LoggedRequest, read_request_log
from loadtest.traffic.shapes import SHAPES, LoadStage
from service.settings import ROOT

LOCUSTFILE = ROOT / "loadtest" / "locustfile.py"
RAW = ROOT / "run" / "loadtest"  # Locust's own reports, and the request log
STOP_TIMEOUT_S = 60
SOME_FAILED = 1  # Locust's exit code
LOG_CHARACTERS = 3000


class LocustError(RuntimeError):
    """Locust did not run to its end; the message has the end of its log."""


@dataclass(frozen=True, slots=True)
class Target:
    """The URL of a service, and its processes where they run on this machine."""

    url: str
    pids: Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class LocustRun:
    """The measurements of one run."""

    traffic: TrafficOptions
    stages: Sequence[LoadStage]
    begun: float
    requests: Sequence[LoggedRequest]
    processes: ProcessSamples

    @property
    def seconds(self) -> float:
        return self.stages[-1].ends_s

    def figures(self) -> list[StageFigures]:
        return [
            figures_of(stage, self.begun, self.requests, self.processes) for stage in self.stages
        ]

    def series(self) -> dict[str, Any]:
        """Rates and latencies by the second in which requests were due, and memory."""
        return series_of(self.requests, self.processes, self.begun, ceil(self.seconds))

    def memory_mb(self) -> dict[str, tuple[float, float]]:
        """Memory by process: medians of a tenth of the samples, after settling and at the end."""
        used_mb = self.series()["resident_mb"]
        return {name: early_and_late(each) for name, each in used_mb.items() if each}


def run_locust(target: Target, traffic: TrafficOptions) -> LocustRun:
    """Run a shape to its end; Locust's reports go to `RAW`. Raises LocustError."""
    RAW.mkdir(parents=True, exist_ok=True)
    stem = RAW / traffic.shape
    request_log = stem.with_suffix(".rows.csv")
    request_log.unlink(missing_ok=True)
    environment = {**environ, **traffic.to_environment(), "LOADTEST_LOG": str(request_log)}
    log = stem.with_suffix(".log")
    with log.open("w") as file:
        client = subprocess.Popen(
            locust_command(target.url, stem), env=environment, stdout=file, stderr=file, cwd=ROOT
        )
        try:
            with sample_processes(target.url, {**target.pids, "client": [client.pid]}) as samples:
                code = client.wait()
        finally:
            client.kill()
    if code > SOME_FAILED:
        raise LocustError(f"Locust ended with {code}:\n{log.read_text()[-LOG_CHARACTERS:]}")
    stages = SHAPES[traffic.shape].stages(traffic.capacity, traffic.seconds)
    return LocustRun(traffic, stages, *read_request_log(request_log), samples)


def locust_command(url: str, stem: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--host", url),
        *("--headless", "--only-summary", "--stop-timeout", str(STOP_TIMEOUT_S)),
        *("--csv", str(stem), "--html", str(stem.with_suffix(".html"))),
    ]
