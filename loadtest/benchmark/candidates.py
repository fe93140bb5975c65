"""All that competes in this process: a loaded model, and every strategy around it at both levels.

In: a model folder. Out: measurements, by level and strategy; `loadtest.benchmark.rounds`
takes turns at them.
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
from handlers.runtime.model_card import model_card
from handlers.runtime.network import Network, load_net
from handlers.runtime.warm_up import warm_up
from handlers.shared.wire import Report
from handlers.stages.plan import plan
from loadtest.benchmark.data_set import Course, check_network, check_photos, prepare
from loadtest.benchmark.rows import Check, Slice, Timed, summed
from loadtest.benchmark.strategies import (
    GROUPINGS,
    ONE_BY_ONE,
    OURS,
    Grouping,
    NetworkLoop,
    PhotoLoop,
    networks_of,
)
from loadtest.measure import usage as measure
from loadtest.measure.service import count_reports
from loadtest.traffic.corpus import Photo

NETWORK, PIPELINE = "network", "pipeline"
LONE = "one at a time"  # requests, each after the last one's answer
STREAM = "one stream"  # one by one, the whole set as one batch: no ends of batches to wait for

Key = tuple[str, str]  # level, strategy
Measurement = Callable[[float], Slice]  # of so many seconds
Runner = Callable[[Sequence[int]], list[Report]]  # of the photos at these places of a set


class Contenders:
    """The strategies, ready to run."""

    def __init__(self, folder: Path, device_kind: str, batch: int) -> None:
        self._batch = batch
        self._config = load_config(folder)
        self.device = choose_device(0 if device_kind == "cuda" else None, self._config.precision)
        if self.device.kind != device_kind:
            raise ValueError(f"there is no {device_kind} here; choose another --device")
        self._network = Network.on(self.device, self._config, folder)
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
            LONE: self._pipeline,
        }

    def prepare(self, set_name: str, photos: Sequence[Photo]) -> Course:
        return prepare(
            set_name, photos, self._config, self._network, self._pipeline, self._meta_net
        )

    def check(self, course: Course) -> dict[Key, Check]:
        """Compare all answers with lone ones; it also runs every shape once before it is timed."""
        networks = {
            (NETWORK, name): check_network(course, loop, self._batch)
            for name, loop in self._network_loops.items()
        }
        return networks | {
            (PIPELINE, name): check_photos(course, loop, self._batch_of(name, course))
            for name, loop in self._photo_loops.items()
        }

    @property
    def rows(self) -> int:
        """How many rows each set gets in this process."""
        return len(self._network_loops) + len(self._photo_loops)

    def measurements(self, course: Course) -> Iterator[tuple[Key, Measurement]]:
        """Name every row that runs in this process."""
        batches = course.batches(self._batch)
        for name, network_loop in self._network_loops.items():
            run = partial(run_pixels, network_loop, course)
            yield (NETWORK, name), partial(in_process, course, run, batches)
        for name, photo_loop in self._photo_loops.items():
            run = partial(run_jobs, photo_loop, course)
            batches = course.batches(self._batch_of(name, course))
            yield (PIPELINE, name), partial(in_process, course, run, batches)

    def _batch_of(self, name: str, course: Course) -> int:
        return {LONE: 1, STREAM: len(course.jobs)}.get(name, self._batch)


def run_pixels(loop: NetworkLoop, course: Course, places: Sequence[int]) -> list[Report]:
    return loop.run([course.pixels[place] for place in places])


def run_jobs(loop: PhotoLoop | Pipeline, course: Course, places: Sequence[int]) -> list[Report]:
    return [answer.report for answer in loop.run([course.jobs[place] for place in places])]


def in_process(
    course: Course, run: Runner, batches: Sequence[Sequence[int]], seconds: float
) -> Slice:
    """Run the whole set, and again until `seconds` are over."""
    gc.collect()
    measure.reset_peak(os.getpid())
    measure.reset_gpu_peak()
    reports: list[Report] = []
    latencies_ms: list[Timed] = []
    rounds = 0
    energy, cpu_before, started = measure.Energy(), measure.own_cpu_s(), time.perf_counter()
    while not rounds or time.perf_counter() - started < seconds:
        for places in batches:
            batch_started = time.perf_counter()
            reports += run(places)
            ms = (time.perf_counter() - batch_started) * 1000
            latencies_ms += [(place, ms) for place in places]
        rounds += 1
    took, cpu_s = time.perf_counter() - started, measure.own_cpu_s() - cpu_before
    counted = count_reports([asdict(report) for report in reports])
    return Slice(
        images=len(reports),
        seconds=took,
        cpu_s={"loop": cpu_s},
        joules=energy.joules(),
        valid_pixels=course.valid_pixels * rounds,
        stages_ms=summed([report.stages_ms for report in reports]),
        latencies_ms=tuple(latencies_ms),
        peak_bytes={"loop": measure.peak_bytes(os.getpid())} | measure.gpu_peak_bytes(),
        **counted | {"batches": len(batches) * rounds, "batched_images": len(reports)},
    )
