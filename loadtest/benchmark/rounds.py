"""One run: every strategy at every level on every set, in turns, round after round.

In: a model folder and what to run. Out: rows by set. A slower minute of the machine hits all rows
alike, since each has a slice of its time in every round.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from handlers.runtime.device import Device
from handlers.runtime.pass_costs import PassCosts
from loadtest.benchmark.candidates import LONE, Contenders, Key, Measurement
from loadtest.benchmark.data_set import Course
from loadtest.benchmark.rows import Row, Slice, row_of
from loadtest.benchmark.strategies import OURS
from loadtest.measure import usage as measure
from loadtest.measure.service import GATEWAY, TORCHSERVE, Load, Served, client_process, served
from loadtest.traffic.corpus import photos_of

LONGEST_WARM_UP_S = 5.0  # of the service, for each set: Java compiles what runs often
WARM_UP_S = 2 * LONGEST_WARM_UP_S
# loading, lone answers and the service's start; more on a slow machine
PREPARATION_S = 90.0
SERVED_ROWS = 3
ROTATION = 5  # rows by which each round begins later

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run does; all of it goes into the result."""

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
    """What a run found for one set."""

    flops_per_image: float
    rows: Mapping[Key, Row]
    slices: Mapping[Key, Sequence[Slice]]


@dataclass(frozen=True, slots=True)
class Result:
    """What a run found."""

    wanted: Wanted
    device: Device
    costs: PassCosts
    flops_per_s: float
    sets: Mapping[str, SetResult]


def run(folder: Path, sources: Sequence[Path], wanted: Wanted, tell: Tell) -> Result:
    """Run everything that is wanted on photos cut from `sources`; `tell` hears how far it is."""
    tell("loading the model ...")
    contenders = Contenders(folder, wanted.device, wanted.batch)
    tell(length_text(wanted, contenders.rows + (SERVED_ROWS if wanted.served else 0)))
    tell("answering every photo alone and in batches ...")
    courses = [
        contenders.prepare(name, photos_of(name, wanted.images, wanted.seed, sources))
        for name in wanted.sets
    ]
    checks = {course.name: contenders.check(course) for course in courses}
    measurements = {course.name: dict(contenders.measurements(course)) for course in courses}
    with service_beside(folder, wanted, tell) as over_http:
        for course in courses:
            measurements[course.name] |= over_http(course)
        slices, flops_per_s = take_turns(measurements, contenders.device, wanted, tell)
    return Result(
        wanted,
        contenders.device,
        contenders.costs,
        flops_per_s,
        {
            course.name: SetResult(
                course.flops_per_image,
                {
                    key: row_of(
                        *key,
                        slices[course.name][key],
                        checks[course.name].get(key),
                        course.flops_per_image,
                        flops_per_s,
                    )
                    for key in measurements[course.name]
                },
                slices[course.name],
            )
            for course in courses
        },
    )


def length_text(wanted: Wanted, rows: int) -> str:
    """Say how long a run of so many rows a set takes, and what makes it shorter."""
    sets = len(wanted.sets)
    minutes = (PREPARATION_S + sets * (rows * wanted.seconds + WARM_UP_S)) / 60
    return (
        f"this takes about {max(1, round(minutes))} minutes: {rows} rows of {wanted.seconds:g} s "
        f"for each of {sets} set(s) of photos; --seconds and --set make it shorter"
    )


def take_turns(
    measurements: Mapping[str, Mapping[Key, Measurement]],
    device: Device,
    wanted: Wanted,
    tell: Tell,
) -> tuple[dict[str, dict[Key, list[Slice]]], float]:
    """Give every row a slice in each round; with them comes the best matrix rate seen meanwhile."""
    slices: dict[str, dict[Key, list[Slice]]] = {
        name: {key: [] for key in rows} for name, rows in measurements.items()
    }
    rates = [measure.matrix_rate(device)]
    for turn in range(wanted.rounds):
        for name, rows in measurements.items():
            tell(f"round {turn + 1} of {wanted.rounds}: {name} ...")
            first = turn * ROTATION % len(rows)
            order = [*rows][first:] + [*rows][:first]
            for key in order:
                found = rows[key](wanted.seconds / wanted.rounds)
                slices[name][key].append(found)
            rates.append(measure.matrix_rate(device))
    return slices, max(rates)


@contextmanager
def service_beside(
    folder: Path, wanted: Wanted, tell: Tell
) -> Iterator[Callable[[Course], dict[Key, Measurement]]]:
    """Run the service if it is wanted; gives what names and warms up its rows for a set."""
    if not wanted.served:
        yield lambda _course: {}
        return
    tell("starting the service ...")
    with served(folder, wanted.settings) as service, client_process() as client:
        yield partial(warmed_up, service, client, wanted)


def warmed_up(
    service: Served, client: Executor, wanted: Wanted, course: Course
) -> dict[Key, Measurement]:
    rows: dict[Key, Measurement] = {
        (TORCHSERVE, OURS): partial(over_http, service, client, TORCHSERVE, course, wanted.clients),
        (GATEWAY, OURS): partial(over_http, service, client, GATEWAY, course, wanted.clients),
        (GATEWAY, LONE): partial(over_http, service, client, GATEWAY, course, 1),
    }
    for level in (TORCHSERVE, GATEWAY):
        rows[level, OURS](min(LONGEST_WARM_UP_S, wanted.seconds / wanted.rounds))
    return rows


def over_http(
    service: Served, client: Executor, level: str, course: Course, clients: int, seconds: float
) -> Slice:
    load = Load(
        [photo.body for photo in course.photos],
        course.lone_answers,
        course.valid_pixels,
        clients,
        seconds,
    )
    return service.burst(level, load, client)
