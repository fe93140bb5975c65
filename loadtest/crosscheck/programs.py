"""Three load generators, Locust, asyncio and wrk: a service and photos in, turns out.

All run a closed loop with the same number of clients. Called by `loadtest.crosscheck.run`.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path

from loadtest.capacity.figures import CLIENT
from loadtest.capacity.locust_run import Target, run_locust
from loadtest.crosscheck.turns import ASYNCIO, LOCUST, WRK, Turn
from loadtest.measure.service import GATEWAY, RunningService
from loadtest.measure.statistics import percentile
from loadtest.measure.usage import ended_children_cpu_s
from loadtest.traffic.album import AlbumPhoto
from loadtest.traffic.concurrent_clients import Endpoint, run_clients
from loadtest.traffic.options import TrafficOptions

LUA = Path(__file__).with_name("wrk.lua")


def locust_turn(
    service: RunningService, album: Path, clients: int, seconds: float
) -> Iterator[Turn]:
    traffic = TrafficOptions(album=album, masks_only=True).with_shape("full", clients, seconds)
    run = run_locust(Target(service.gateway_url, service.pids), traffic)
    (figures,) = run.figures()
    yield Turn(
        LOCUST,
        masks_per_s=figures.masks,
        p50_ms=figures.ms["p50"],
        p99_ms=figures.ms["p99"],
        other_answers=sum(figures.errors.values()),
        client_cpu_ms=1000 * figures.usage.cpu[CLIENT] / figures.masks,
    )


def asyncio_turn(
    service: RunningService,
    client_process: Executor,
    photos: Sequence[AlbumPhoto],
    clients: int,
    seconds: float,
) -> Iterator[Turn]:
    url = service.endpoints[GATEWAY].url
    endpoint = Endpoint(url, {"Content-Type": "application/octet-stream"}, "Server-Timing")
    bodies = [photo.body for photo in photos]
    results = client_process.submit(run_clients, endpoint, bodies, clients, seconds).result()
    latencies_ms = sorted(ms for _, ms in results.latencies_ms)
    yield Turn(
        ASYNCIO,
        masks_per_s=len(latencies_ms) / results.seconds,
        p50_ms=percentile(latencies_ms, 50) or 0.0,
        p99_ms=percentile(latencies_ms, 99) or 0.0,
        other_answers=results.failed,
        client_cpu_ms=1000 * results.cpu_s / len(latencies_ms),
    )


def wrk_turn(
    service: RunningService, photos: Sequence[AlbumPhoto], clients: int, seconds: float
) -> Iterator[Turn]:
    """Yield nothing where wrk is not installed (Debian, Ubuntu: apt install wrk)."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return
    with tempfile.TemporaryDirectory(prefix="fcnserve-wrk-") as folder:
        photo_list = write_photo_list(photos, Path(folder))
        before = ended_children_cpu_s()
        done = subprocess.run(
            [
                *(wrk, "-t1", f"-c{clients}", f"-d{seconds:g}s", "--timeout", "60s"),
                *("-s", str(LUA), service.gateway_url, "--", str(photo_list)),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
    found = json.loads(done.stdout.splitlines()[-1])
    yield Turn(
        WRK,
        masks_per_s=found["right"] / found["seconds"],
        p50_ms=found["p50_ms"],
        p99_ms=found["p99_ms"],
        other_answers=found["wrong"] + found["failed"],
        client_cpu_ms=1000 * (ended_children_cpu_s() - before) / found["right"],
    )


def write_photo_list(photos: Sequence[AlbumPhoto], folder: Path) -> Path:
    """Write the photos, and the list that wrk.lua reads: path and media type per line."""
    lines = []
    for photo in photos:
        path = folder / photo.name
        path.write_bytes(photo.body)
        lines.append(f"{path}\t{photo.media_type}\n")
    photo_list = folder / "list"
    photo_list.write_text("".join(lines))
    return photo_list
