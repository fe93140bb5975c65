"""One benchmark run: every strategy, at every level, on every set, in turns, round after round.

A model folder and options in, rows by set out. Every row has a slice of its time in every round, so
that a slower minute of the machine affects all rows alike. Called by `loadtest.benchmark.run`.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from handlers.runtime.device import Device
from loadtest.benchmark.candidates import Candidates, Key, Measurement
from loadtest.benchmark.data_set import DataSet
from loadtest.benchmark.result import BenchmarkOptions, Result, SetResult
from loadtest.benchmark.rows import Check, row_of
from loadtest.benchmark.served import LONGEST_WARM_UP_S, SERVED_ROWS, optional_service
from loadtest.measure.flops import matrix_rate
from loadtest.measure.slices import Slice
from loadtest.traffic.corpus import make_photos

WARM_UP_S = 2 * LONGEST_WARM_UP_S

# loading, reference answers and the service's start; more on a slow machine
PREPARATION_S = 90.0

ROTATION = 5  # rows by which each round begins later

Progress = Callable[[str], None]

Measurements = dict[str, dict[Key, Measurement]]  # by set


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
