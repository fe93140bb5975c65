"""The candidates that run in this process: every batching strategy, at the levels network and
pipeline, around one loaded model.

A model folder in, measurements by level and strategy out. Called by `loadtest.benchmark.rounds`,
which runs the measurements in turns.
"""

import gc
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from handlers.model_config import load_config
from handlers.pipeline import Pipeline
from handlers.runtime.cost_rates import measure_rates
from handlers.runtime.device import choose_device
from handlers.runtime.load_network import load_network
from handlers.runtime.model_card import model_card
from handlers.runtime.warm_up.run import warm_up
from handlers.runtime.weights import load_net
from handlers.shared.wire import Report
from handlers.stages.plan import plan
from loadtest.benchmark.data_set import DataSet, check_network, check_photos, prepare
from loadtest.benchmark.rows import Check
from loadtest.benchmark.strategies import (
    GROUPINGS,
    ONE_BY_ONE,
    OURS,
    Grouping,
    NetworkLoop,
    PhotoLoop,
    networks_of,
)
from loadtest.measure.gpu import EnergyCounter, gpu_peak_bytes, reset_gpu_peak
from loadtest.measure.service_load import count_reports
from loadtest.measure.slices import Slice, TimedPhoto
from loadtest.measure.statistics import summed
from loadtest.measure.usage import own_cpu_s, peak_bytes, reset_peak
from loadtest.traffic.corpus import Photo

NETWORK, PIPELINE = "network", "pipeline"
ONE_AT_A_TIME = "one at a time"  # each request is sent after the answer to the last
STREAM = "one stream"  # one by one, the whole set as one batch: no ends of batches to wait for

Key = tuple[str, str]  # level, strategy
Measurement = Callable[[float], Slice]  # of so many seconds
Runner = Callable[[Sequence[int]], list[Report]]  # of the photos with these indices


class Candidates:
    """All strategies around one loaded model."""

    def __init__(self, folder: Path, device_kind: str, batch: int) -> None:
        self._batch = batch
        self._config = load_config(folder)
        self.device = choose_device(0 if device_kind == "cuda" else None, self._config.precision)
        if self.device.kind != device_kind:
            raise ValueError(f"there is no {device_kind} here; choose another --device")
        self._network = load_network(self.device, self._config, folder)
        self.costs = warm_up(self._network, self._config.batching)
        card = model_card(
            self._config, folder, self.device, measure_rates(self._network, self.costs)
        )
        self._pipeline = Pipeline(self._config, self._network, self.costs, card)
        self._meta_net = load_net(self._config, folder / self._config.weights).to("meta")
        networks = networks_of(self._network)
        groupings: dict[str, Grouping] = {**GROUPINGS, OURS: partial(plan, costs=self.costs)}
        self._network_loops = {
            name: NetworkLoop(networks[name], grouping) for name, grouping in groupings.items()
        }
        loops = {
            name: PhotoLoop(networks[name], self._config, grouping)
            for name, grouping in GROUPINGS.items()
        }
        self._photo_loops: dict[str, PhotoLoop | Pipeline] = {
            **loops,
            OURS: self._pipeline,
            STREAM: loops[ONE_BY_ONE],
            ONE_AT_A_TIME: self._pipeline,
        }

    def prepare(self, set_name: str, photos: Sequence[Photo]) -> DataSet:
        return prepare(
            set_name, photos, self._config, self._network, self._pipeline, self._meta_net
        )

    def check(self, data: DataSet) -> dict[Key, Check]:
        """Compare all answers with the reference answers; runs every shape before it is timed."""
        networks = {
            (NETWORK, name): check_network(data, loop, self._batch)
            for name, loop in self._network_loops.items()
        }
        return networks | {
            (PIPELINE, name): check_photos(data, loop, self._batch_of(name, data))
            for name, loop in self._photo_loops.items()
        }

    @property
    def rows(self) -> int:
        """Number of rows that run in this process, for each set."""
        return len(self._network_loops) + len(self._photo_loops)

    def measurements(self, data: DataSet) -> Iterator[tuple[Key, Measurement]]:
        """Yield the measurement of each row that runs in this process."""
        batches = data.batches(self._batch)
        for name, network_loop in self._network_loops.items():
            run = partial(run_pixels, network_loop, data)
            yield (NETWORK, name), partial(measure_runner, data, run, batches)
        for name, photo_loop in self._photo_loops.items():
            run = partial(run_jobs, photo_loop, data)
            batches = data.batches(self._batch_of(name, data))
            yield (PIPELINE, name), partial(measure_runner, data, run, batches)

    def _batch_of(self, name: str, data: DataSet) -> int:
        return {ONE_AT_A_TIME: 1, STREAM: len(data.jobs)}.get(name, self._batch)


def run_pixels(loop: NetworkLoop, data: DataSet, indices: Sequence[int]) -> list[Report]:
    return loop.run([data.pixels[index] for index in indices])


def run_jobs(loop: PhotoLoop | Pipeline, data: DataSet, indices: Sequence[int]) -> list[Report]:
    return [answer.report for answer in loop.run([data.jobs[index] for index in indices])]


def measure_runner(
    data: DataSet, run: Runner, batches: Sequence[Sequence[int]], seconds: float
) -> Slice:
    """Run the whole set, and again until `seconds` have passed."""
    gc.collect()
    reset_peak(os.getpid())
    reset_gpu_peak()
    reports: list[Report] = []
    latencies_ms: list[TimedPhoto] = []
    rounds = 0
    energy, cpu_before, started = EnergyCounter(), own_cpu_s(), time.perf_counter()
    while not rounds or time.perf_counter() - started < seconds:
        for indices in batches:
            batch_started = time.perf_counter()
            reports += run(indices)
            ms = (time.perf_counter() - batch_started) * 1000
            latencies_ms += [(index, ms) for index in indices]
        rounds += 1
    took_s, cpu_s = time.perf_counter() - started, own_cpu_s() - cpu_before
    counts = count_reports([asdict(report) for report in reports])
    return Slice(
        images=len(reports),
        seconds=took_s,
        cpu_s={"loop": cpu_s},
        joules=energy.joules(),
        valid_pixels=data.valid_pixels * rounds,
        stages_ms=summed([report.stages_ms for report in reports]),
        latencies_ms=tuple(latencies_ms),
        peak_bytes={"loop": peak_bytes(os.getpid())} | gpu_peak_bytes(),
        **counts | {"batches": len(batches) * rounds, "batched_images": len(reports)},
    )
