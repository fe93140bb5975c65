"""Three programs that send photos, Locust, aiohttp and wrk: a service and photos in, figures out.

As many clients as are wanted, each of which asks again as soon as it has its answer. Called by
`loadtest.crosscheck.run`.
"""

import json
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from loadtest.benchmark.rows import percentile
from loadtest.capacity.locust_run import Place, run_locust
from loadtest.measure.service import GATEWAY, Served
from loadtest.traffic.album import Picture
from loadtest.traffic.concurrent_clients import Target, burst
from loadtest.traffic.environment import Traffic

LUA = Path(__file__).with_name("wrk.lua")
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
    others_cpu: float = 0.0  # cores that other programs had meanwhile


def locust_turn(service: Served, album: Path, clients: int, seconds: float) -> Iterator[Burst]:
    traffic = Traffic(album=album, masks_only=True).shaped("full", clients, seconds)
    ran = run_locust(Place(service.gateway_url, service.pids), traffic)
    (figures,) = ran.figures()
    yield Burst(
        LOCUST,
        masks_per_s=figures.masks,
        p50_ms=figures.ms["p50"],
        p99_ms=figures.ms["p99"],
        other_answers=sum(figures.errors.values()),
        client_cpu_ms=1000 * figures.meanwhile.cpu["client"] / figures.masks,
    )


def aiohttp_turn(
    service: Served, client: Executor, pictures: Sequence[Picture], clients: int, seconds: float
) -> Iterator[Burst]:
    target = Target(
        service.targets[GATEWAY].url, {"Content-Type": "application/octet-stream"}, "Server-Timing"
    )
    bodies = [picture.body for picture in pictures]
    seen = client.submit(burst, target, bodies, clients, seconds).result()
    latencies_ms = sorted(ms for _, ms in seen.latencies_ms)
    yield Burst(
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
