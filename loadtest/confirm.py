"""`python -m loadtest.confirm`: is the capacity that Locust finds the service's own?

The same photos, plain masks, as many clients that always ask, by three programs which share no
code: Locust (gevent), `loadtest.client` (aiohttp), and wrk (C), taking turns against one service.
Where they agree the figure is the service's; where they do not, a client is the limit.
"""

import json
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from loadtest.album import ALBUM, Picture, read_album
from loadtest.bench import MODEL, RESULTS, prepare_environment
from loadtest.client import Target, burst
from loadtest.locust_run import Place, run_locust
from loadtest.rows import percentile
from loadtest.served import GATEWAY, Served, client_process, served
from loadtest.traffic import Traffic
from service.settings import ROOT

LUA = ROOT / "loadtest" / "wrk.lua"
WARM_UP_S = 8.0
LOCUST, AIOHTTP, WRK = "Locust", "aiohttp", "wrk"


@dataclass(frozen=True, slots=True)
class Burst:
    """What one program saw in one turn."""

    program: str
    masks_per_s: float
    p50_ms: float
    p99_ms: float
    other_answers: int
    client_cpu_ms: float  # a mask


def confirm(
    clients: Annotated[int, typer.Option(min=1, help="Clients that always ask.")] = 16,
    seconds: Annotated[float, typer.Option(min=2, help="Length of a turn.")] = 15,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each program.")] = 3,
    album: Annotated[Path, typer.Option(help="Folder that loadtest.make_album wrote.")] = ALBUM,
    out: Annotated[Path, typer.Option(help="Folder for .md and .json.")] = RESULTS,
) -> None:
    """Measure the capacity with three programs in turn."""
    prepare_environment("cpu", 0)
    from loadtest.confirm_report import save

    pictures = read_album(album)
    with served(MODEL, {}) as service, client_process() as client:
        aiohttp_turn(service, client, pictures, clients, WARM_UP_S)
        found: list[Burst] = []
        for number in range(rounds):
            typer.echo(f"round {number + 1} of {rounds} ...", err=True)
            found.append(locust_turn(service, album, clients, seconds))
            found.append(aiohttp_turn(service, client, pictures, clients, seconds))
            found += wrk_turn(service, pictures, clients, seconds)
    course = {"clients": clients, "seconds": seconds, "rounds": rounds, "photos": len(pictures)}
    typer.echo(save(found, course, out))


def locust_turn(service: Served, album: Path, clients: int, seconds: float) -> Burst:
    traffic = Traffic(album=album, masks_only=True).shaped("full", clients, seconds)
    ran = run_locust(Place(service.gateway_url, service.pids), traffic)
    (figures,) = ran.figures()
    return Burst(
        LOCUST,
        masks_per_s=figures.masks,
        p50_ms=figures.ms["p50"],
        p99_ms=figures.ms["p99"],
        other_answers=sum(figures.errors.values()),
        client_cpu_ms=1000 * figures.meanwhile.cpu["client"] / figures.masks,
    )


def aiohttp_turn(
    service: Served, client: Executor, pictures: Sequence[Picture], clients: int, seconds: float
) -> Burst:
    target = Target(
        service.targets[GATEWAY].url, {"Content-Type": "application/octet-stream"}, "Server-Timing"
    )
    bodies = [picture.body for picture in pictures]
    seen = client.submit(burst, target, bodies, clients, seconds).result()
    latencies_ms = sorted(ms for _, ms in seen.latencies_ms)
    return Burst(
        AIOHTTP,
        masks_per_s=len(latencies_ms) / seen.seconds,
        p50_ms=percentile(latencies_ms, 50) or 0.0,
        p99_ms=percentile(latencies_ms, 99) or 0.0,
        other_answers=seen.failed,
        client_cpu_ms=1000 * seen.cpu_s / len(latencies_ms),
    )


def wrk_turn(
    service: Served, pictures: Sequence[Picture], clients: int, seconds: float
) -> Iterator[Burst]:
    """Nothing where wrk is not installed (Debian, Ubuntu: apt install wrk)."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return
    with tempfile.TemporaryDirectory(prefix="fcnserve-wrk-") as folder:
        listed = write_list(pictures, Path(folder))
        before = children_cpu_s()
        done = subprocess.run(
            [
                *(wrk, "-t1", f"-c{clients}", f"-d{seconds:g}s", "--timeout", "60s"),
                *("-s", str(LUA), service.gateway_url, "--", str(listed)),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
    seen = json.loads(done.stdout.splitlines()[-1])
    yield Burst(
        WRK,
        masks_per_s=seen["right"] / seen["seconds"],
        p50_ms=seen["p50_ms"],
        p99_ms=seen["p99_ms"],
        other_answers=seen["wrong"] + seen["failed"],
        client_cpu_ms=1000 * (children_cpu_s() - before) / seen["right"],
    )


def write_list(pictures: Sequence[Picture], folder: Path) -> Path:
    lines = []
    for picture in pictures:
        path = folder / picture.name
        path.write_bytes(picture.body)
        lines.append(f"{path}\t{picture.media_type}\n")
    listed = folder / "list"
    listed.write_text("".join(lines))
    return listed


def children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def medians(found: Sequence[Burst]) -> dict[str, Burst]:
    """The median of each figure, by program; of other answers the sum."""
    programs = dict.fromkeys(one.program for one in found)
    return {name: middle([one for one in found if one.program == name]) for name in programs}


def middle(turns: Sequence[Burst]) -> Burst:
    figures = [asdict(turn) for turn in turns]
    numbers = {
        name: median(each[name] for each in figures)
        for name in ("masks_per_s", "p50_ms", "p99_ms", "client_cpu_ms")
    }
    other = sum(turn.other_answers for turn in turns)
    return Burst(program=turns[0].program, other_answers=other, **numbers)


if __name__ == "__main__":
    typer.run(confirm)
