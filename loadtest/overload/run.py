"""`python -m loadtest.overload.run` (`make overload`): ten times as many photos as can be answered.

First as many clients as the service accepts at a time, each with its next photo once it has its
answer: capacity, and the latency of a full house. Then arrivals at a multiple of that rate, from a
process that does not wait for answers: what becomes of those that are accepted, how soon the others
are told, what it costs in memory. One service, one run; wiring and options.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from loadtest.benchmark.run import MODEL, RESULTS, SAMPLES, prepare_environment
from loadtest.measure.memory_sampler import Watched, watching
from loadtest.measure.service import GATEWAY, Served, client_process, served
from loadtest.overload.arrivals import Arrivals, Seen, arrive
from loadtest.traffic.concurrent_clients import Burst, burst
from loadtest.traffic.corpus import photos_of
from service.settings import Settings

PHOTOS, SEED = 48, 0
WARM_UP_S = 8.0


@dataclass(frozen=True, slots=True)
class Course:
    """What was asked for."""

    model: str
    photos: str
    clients: int  # of the full house: as many as are accepted
    times_capacity: float
    saturated_s: float
    overload_s: float
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Overload:
    """What was found."""

    course: Course
    saturated: Burst
    arrivals_per_s: float
    overloaded: Seen
    watched: Watched


def overload(
    set_name: Annotated[str, typer.Option("--set", help="Sizes of the photos.")] = "mix",
    times: Annotated[float, typer.Option(min=0.1, help="Arrivals, in capacities.")] = 10,
    saturated: Annotated[float, typer.Option(min=1, help="Seconds of a full house.")] = 40,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of overload.")] = 60,
    setting: Annotated[
        list[str], typer.Option(help="A setting of the service, as workers=2; may be repeated.")
    ] = [],  # noqa: B006 - typer's way
    out: Annotated[Path, typer.Option(help="Folder for .json and .md.")] = RESULTS,
) -> None:
    """Send many times what the service can do, and see who waits how long."""
    prepare_environment("cpu", 0)
    from loadtest.overload.report import save

    settings = dict(each.split("=", 1) for each in setting)
    clients = int(settings.get("max_in_flight", Settings().max_in_flight))
    course = Course(MODEL.name, set_name, clients, times, saturated, seconds, settings)
    sources = sorted(SAMPLES.glob("*.jpg"))
    photos = [photo.body for photo in photos_of(set_name, PHOTOS, SEED, sources)]
    with served(MODEL, settings) as service, client_process() as client:
        typer.echo(save(run(service, client, photos, course), out))


def run(service: Served, client: Executor, photos: list[bytes], course: Course) -> Overload:
    """Ask for every photo alone, fill the house, then overrun it."""
    target = service.targets[GATEWAY]
    tell("every photo alone ...")
    alone = client.submit(burst, target, photos, 1, 0.0).result()
    client.submit(burst, target, photos, course.clients, WARM_UP_S).result()
    tell(f"{course.clients} clients for {course.saturated_s:g} s ...")
    full = client.submit(burst, target, photos, course.clients, course.saturated_s).result()
    per_s = course.times_capacity * len(full.latencies_ms) / full.seconds
    tell(f"{per_s:.0f} arrivals a second for {course.overload_s:g} s ...")
    arrivals = Arrivals(photos, lone_answers(alone), per_s, course.overload_s)
    with watching(service) as watched:
        seen = client.submit(arrive, target, arrivals).result()
    return Overload(course, full, per_s, seen, watched)


def lone_answers(alone: Burst) -> Sequence[bytes]:
    return [next(iter(alone.answers[place])) for place in range(len(alone.answers))]


def tell(line: str) -> None:
    typer.echo(line, err=True)


if __name__ == "__main__":
    typer.run(overload)
