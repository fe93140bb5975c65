"""One benchmark run: every strategy, at every level, on every set, in turns, round after round.

A model folder and options in, rows by set out. Every row has a slice of its time in every round, so
that a slower minute of the machine affects all rows alike. Called by `loadtest.benchmark.run`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from handlers.runtime.device import Device
from handlers.runtime.pass_costs import PassCosts
from loadtest.benchmark.candidates import ONE_AT_A_TIME, Candidates, Key, Measurement
from loadtest.benchmark.data_set import DataSet
from loadtest.benchmark.rows import Check, Row, row_of
from loadtest.benchmark.strategies import OURS
from loadtest.measure.flops import matrix_rate
from loadtest.measure.service import GATEWAY, TORCHSERVE, RunningService, start_service
from loadtest.measure.service_load import ServiceLoad, measure_load, start_client_process
from loadtest.measure.slices import Slice
from loadtest.traffic.corpus import make_photos

LONGEST_WARM_UP_S = 5.0  # of the service, for each set: Java compiles what runs often
WARM_UP_S = 2 * LONGEST_WARM_UP_S
# loading, reference answers and the service's start; more on a slow machine
PREPARATION_S = 90.0
SERVED_ROWS = 3
ROTATION = 5  # rows by which each round begins later

Progress = Callable[[str], None]
Measurements = dict[str, dict[Key, Measurement]]  # by set


@dataclass(frozen=True, slots=True)
class BenchmarkOptions:
    """The options of a run; all of them are written into the result."""

    model: str
    device: str
    sets: tuple[str, ...]
    images: int
    batch: int
    clients: int
    rounds: int
    seconds: float  # per row, all rounds together
    seed: int
    photos: str
    served: bool
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SetResult:
    """The result of one set."""

    flops_per_image: float
    rows: Mapping[Key, Row]
    slices: Mapping[Key, Sequence[Slice]]


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a run."""

    options: BenchmarkOptions
    device: Device
    costs: PassCosts
    flops_per_s: float
    sets: Mapping[str, SetResult]


def run(
    folder: Path, sources: Sequence[Path], options: BenchmarkOptions, progress: Progress
) -> Result:
    """Run everything that the options ask for, on photos cut out of `sources`."""
    progress("loading the model ...")
    candidates = Candidates(folder, options.device, options.batch)
    progress(length_text(options, candidates.rows + (SERVED_ROWS if options.served else 0)))
    progress("answering every photo alone and in batches ...")
    sets = [
        candidates.prepare(name, make_photos(name, options.images, options.seed, sources))
        for name in options.sets
    ]
    checks = {data.name: candidates.check(data) for data in sets}
    measurements = {data.name: dict(candidates.measurements(data)) for data in sets}
    with optional_service(folder, options, progress) as served_measurements:
        for data in sets:
            measurements[data.name] |= served_measurements(data)
        slices, flops_per_s = take_turns(measurements, candidates.device, options, progress)
    results = {
        data.name: set_result(data, slices[data.name], checks[data.name], flops_per_s)
        for data in sets
    }
    return Result(options, candidates.device, candidates.costs, flops_per_s, results)


def length_text(options: BenchmarkOptions, rows: int) -> str:
    """Estimate the duration of a run with so many rows per set, and name what shortens it."""
    sets = len(options.sets)
    minutes = (PREPARATION_S + sets * (rows * options.seconds + WARM_UP_S)) / 60
    return (
        f"this takes about {max(1, round(minutes))} minutes: {rows} rows of {options.seconds:g} s "
        f"for each of {sets} set(s) of photos; --seconds and --set make it shorter"
    )


@contextmanager
def optional_service(
    folder: Path, options: BenchmarkOptions, progress: Progress
) -> Iterator[Callable[[DataSet], dict[Key, Measurement]]]:
    """Start the service where the options ask for it; yields a function that returns a set's
    measurements over HTTP.
    """
    if not options.served:
        yield lambda _data: {}
        return
    progress("starting the service ...")
    with (
        start_service(folder, options.settings) as service,
        start_client_process() as client_process,
    ):
        yield partial(warm_up_service, service, client_process, options)


def warm_up_service(
    service: RunningService, client_process: Executor, options: BenchmarkOptions, data: DataSet
) -> dict[Key, Measurement]:
    """Load the service with a set once; returns the set's measurements over HTTP."""

    def measurement(level: str, clients: int) -> Measurement:
        return partial(measure_served, service, client_process, level, data, clients)

    measurements = {
        (TORCHSERVE, OURS): measurement(TORCHSERVE, options.clients),
        (GATEWAY, OURS): measurement(GATEWAY, options.clients),
        (GATEWAY, ONE_AT_A_TIME): measurement(GATEWAY, 1),
    }
    for level in (TORCHSERVE, GATEWAY):
        measurements[level, OURS](min(LONGEST_WARM_UP_S, options.seconds / options.rounds))
    return measurements


def measure_served(
    service: RunningService,
    client_process: Executor,
    level: str,
    data: DataSet,
    clients: int,
    seconds: float,
) -> Slice:
    photos = [photo.body for photo in data.photos]
    load = ServiceLoad(photos, data.reference_answers, data.valid_pixels, clients, seconds)
    return measure_load(service, level, load, client_process)


def take_turns(
    measurements: Measurements, device: Device, options: BenchmarkOptions, progress: Progress
) -> tuple[dict[str, dict[Key, list[Slice]]], float]:
    """Measure a slice of every row in each round; returns them with the best matrix rate seen."""
    slices: dict[str, dict[Key, list[Slice]]] = {
        name: {key: [] for key in rows} for name, rows in measurements.items()
    }
    rates = [matrix_rate(device)]
    for turn in range(options.rounds):
        for name, rows in measurements.items():
            progress(f"round {turn + 1} of {options.rounds}: {name} ...")
            first = turn * ROTATION % len(rows)
            for key in [*rows][first:] + [*rows][:first]:
                slices[name][key].append(rows[key](options.seconds / options.rounds))
            rates.append(matrix_rate(device))
    return slices, max(rates)


def set_result(
    data: DataSet,
    slices: Mapping[Key, Sequence[Slice]],
    checks: Mapping[Key, Check],
    flops_per_s: float,
) -> SetResult:
    rows = {
        key: row_of(*key, each, checks.get(key), data.flops_per_image, flops_per_s)
        for key, each in slices.items()
    }
    return SetResult(data.flops_per_image, rows, slices)
