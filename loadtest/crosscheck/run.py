"""`python -m loadtest.crosscheck.run`: is the capacity that Locust finds the service's own?

The same photos, plain masks, as many clients that always ask, by three programs which share no
code: Locust (gevent), `loadtest.traffic.concurrent_clients` (aiohttp), and wrk (C),
taking turns against one service.
Where they agree the figure is the service's; where they do not, a client is the limit.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from loadtest.benchmark.run import MODEL, RESULTS, prepare_environment
from loadtest.crosscheck.programs import Burst, aiohttp_turn, children_cpu_s, locust_turn, wrk_turn
from loadtest.measure import usage as measure
from loadtest.measure.gauges import cpu_or_none, machine_cpu_s
from loadtest.measure.service import client_process, served
from loadtest.traffic.album import ALBUM, INDEX, read_album
from loadtest.traffic.make_album import make_album

WARM_UP_S = 8.0


def confirm(
    clients: Annotated[int, typer.Option(min=1, help="Clients that always ask.")] = 16,
    seconds: Annotated[float, typer.Option(min=2, help="Length of a turn.")] = 15,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each program.")] = 3,
    album: Annotated[
        Path, typer.Option(help="Folder that loadtest.traffic.make_album wrote.")
    ] = ALBUM,
    out: Annotated[Path, typer.Option(help="Folder for .md and .json.")] = RESULTS,
) -> None:
    """Measure the capacity with three programs in turn."""
    prepare_environment("cpu", 0)
    from loadtest.crosscheck.report import save

    if album == ALBUM and not (album / INDEX).exists():
        make_album(None, album)
    pictures = read_album(album)
    with served(MODEL, {}) as service, client_process() as client:
        list(aiohttp_turn(service, client, pictures, clients, WARM_UP_S))
        found: list[Burst] = []
        for number in range(rounds):
            typer.echo(f"round {number + 1} of {rounds} ...", err=True)
            found += watched(lambda: locust_turn(service, album, clients, seconds))
            found += watched(lambda: aiohttp_turn(service, client, pictures, clients, seconds))
            found += watched(lambda: wrk_turn(service, pictures, clients, seconds))
    course = {"clients": clients, "seconds": seconds, "rounds": rounds, "photos": len(pictures)}
    typer.echo(save(found, course, out))


def watched(take_turn: Callable[[], Iterable[Burst]]) -> list[Burst]:
    """See what other programs had of the machine during a turn."""
    started, machine_s, ours_s = time.perf_counter(), machine_cpu_s(), family_cpu_s()
    found = list(take_turn())
    seconds = time.perf_counter() - started
    others_s = machine_cpu_s() - machine_s - (family_cpu_s() - ours_s)
    return [replace(one, others_cpu=max(0.0, others_s / seconds)) for one in found]


def family_cpu_s() -> float:
    """Add up this process and all below it: service and clients, those that have ended too."""
    living = [os.getpid(), *measure.descendants(os.getpid())]
    return sum(map(cpu_or_none, living)) + children_cpu_s()


def medians(found: Sequence[Burst]) -> dict[str, Burst]:
    """The median of each figure, by program; of other answers the sum, of others' CPU the most."""
    programs = dict.fromkeys(one.program for one in found)
    return {name: middle([one for one in found if one.program == name]) for name in programs}


def middle(turns: Sequence[Burst]) -> Burst:
    figures = [asdict(turn) for turn in turns]
    numbers = {
        name: median(each[name] for each in figures)
        for name in ("masks_per_s", "p50_ms", "p99_ms", "client_cpu_ms")
    }
    return Burst(
        program=turns[0].program,
        other_answers=sum(turn.other_answers for turn in turns),
        others_cpu=max(turn.others_cpu for turn in turns),
        **numbers,
    )


if __name__ == "__main__":
    typer.run(confirm)
