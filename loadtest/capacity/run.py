"""`python -m loadtest.capacity.run` (`make loadtest`): Locust against a service, and a report.

First a closed loop of clients, which gives the capacity that the shape is scaled by; then the shape
(`loadtest.traffic.shapes`). Without `--host` the service is started here, and its processes are
sampled. Wiring and options.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from loadtest.capacity.locust_run import RAW, Target, run_locust
from loadtest.command_line import MODEL, RESULTS, parse_settings, print_progress
from loadtest.measure.service import start_service
from loadtest.traffic.album import ALBUM, INDEX
from loadtest.traffic.make_album import make_album
from loadtest.traffic.options import TrafficOptions
from loadtest.traffic.shapes import SHAPES

ShapeName = Literal["smoke", "steps", "soak", "spike", "overload"]
OWN_ALBUM = RAW / "photos"
WARM_UP_S, FULL_S = 8.0, 25.0


def load_test(  # noqa: PLR0913 - every option is one
    shape: Annotated[ShapeName, typer.Option(help="How load changes over time.")] = "steps",
    host: Annotated[str, typer.Option(help="A running service; else one is started.")] = "",
    seconds: Annotated[float, typer.Option(min=0, help="Length of the shape; 0: its own.")] = 0,
    clients: Annotated[int, typer.Option(min=1, help="Clients of the closed loop.")] = 16,
    capacity: Annotated[
        float,
        typer.Option(min=0, help="Requests/s that 1 stands for; 0: measured in a closed loop."),
    ] = 0,
    limit_ms: Annotated[float, typer.Option(min=1, help="The p99 of a sustained step.")] = 1000,
    masks_only: Annotated[bool, typer.Option(help="Plain masks alone, no other output.")] = False,
    album: Annotated[
        Path, typer.Option(help="Folder that loadtest.traffic.make_album wrote.")
    ] = ALBUM,
    photos: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Folder of your own photos."),
    ] = None,
    setting: Annotated[
        list[str], typer.Option(help="A setting of the service, as workers=2; may be repeated.")
    ] = [],  # noqa: B006 - typer's way
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = RESULTS,
) -> None:
    """Load a service with Locust, and report its capacity."""
    from loadtest.capacity.conclusion import LoadTest
    from loadtest.capacity.report import save

    if photos:
        album = OWN_ALBUM
    if photos or (album == ALBUM and not (album / INDEX).exists()):
        make_album(photos, album)
    settings = parse_settings(setting)
    key = os.environ.get("FCNSERVE_KEY", "")
    traffic = TrafficOptions(album=album, masks_only=masks_only, key=key)
    with find_target(host, settings) as target:
        full = None
        if not capacity:
            run_locust(target, traffic.with_shape("full", clients, WARM_UP_S))
            print_progress(f"{clients} clients in a closed loop for {FULL_S:g} s ...")
            full = run_locust(target, traffic.with_shape("full", clients, FULL_S)).figures()[0]
            capacity = full.answered
        print_progress(f"{shape}, where 1 is {capacity:.1f} requests/s: {SHAPES[shape].question}")
        run = run_locust(target, traffic.with_shape(shape, capacity, seconds))
    test = LoadTest(shape, clients, capacity, limit_ms, settings, full, run, host)
    typer.echo(save(test, out))


@contextmanager
def find_target(host: str, settings: dict[str, str]) -> Iterator[Target]:
    """Yield the running service, or start one, whose processes can be sampled."""
    if host:
        yield Target(host.rstrip("/"), {})
    else:
        print_progress("starting the service ...")
        with start_service(MODEL, settings) as service:
            yield Target(service.gateway_url, service.pids)


if __name__ == "__main__":
    typer.run(load_test)
