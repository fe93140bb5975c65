"""`python -m loadtest.crosscheck.run`: is the capacity that Locust measures the service's own?

Three programs which share no code, Locust (gevent), `loadtest.traffic.concurrent_clients` (asyncio)
and wrk (C), take turns against one service: the same photos, plain masks, the same number of
clients in a closed loop. Where they agree the figure is the service's; where they differ, a client
is the limit. Wiring and options.
"""

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from loadtest.command_line import MODEL, RESULTS, prepare_environment, print_progress
from loadtest.crosscheck.programs import asyncio_turn, locust_turn, wrk_turn
from loadtest.crosscheck.turns import Turn
from loadtest.measure.process_sampler import cpu_or_zero
from loadtest.measure.service import start_service
from loadtest.measure.service_load import start_client_process
from loadtest.measure.usage import descendants, ended_children_cpu_s, machine_cpu_s
from loadtest.traffic.album import ALBUM, INDEX, read_album
from loadtest.traffic.make_album import make_album

WARM_UP_S = 8.0


def crosscheck(
    clients: Annotated[int, typer.Option(min=1, help="Clients of the closed loop.")] = 16,
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
    photos = read_album(album)
    with start_service(MODEL, {}) as service, start_client_process() as client_process:
        list(asyncio_turn(service, client_process, photos, clients, WARM_UP_S))
        turns: list[Turn] = []
        for number in range(rounds):
            print_progress(f"round {number + 1} of {rounds} ...")
            for take_turn in (
                lambda: locust_turn(service, album, clients, seconds),
                lambda: asyncio_turn(service, client_process, photos, clients, seconds),
                lambda: wrk_turn(service, photos, clients, seconds),
            ):
                turns += measure_other_programs(take_turn)
    options = {"clients": clients, "seconds": seconds, "rounds": rounds, "photos": len(photos)}
    typer.echo(save(turns, options, out))


def measure_other_programs(take_turn: Callable[[], Iterable[Turn]]) -> list[Turn]:
    """Take a turn, and add the CPU that programs outside the measurement used during it."""
    started, machine_s, own_s = time.perf_counter(), machine_cpu_s(), own_and_descendants_cpu_s()
    turns = list(take_turn())
    seconds = time.perf_counter() - started
    others_s = machine_cpu_s() - machine_s - (own_and_descendants_cpu_s() - own_s)
    return [replace(turn, other_programs_cpu=max(0.0, others_s / seconds)) for turn in turns]


def own_and_descendants_cpu_s() -> float:
    """Sum the CPU of this process and all below it, service and clients, and of ended children."""
    living = [os.getpid(), *descendants(os.getpid())]
    return sum(map(cpu_or_zero, living)) + ended_children_cpu_s()


if __name__ == "__main__":
    typer.run(crosscheck)
