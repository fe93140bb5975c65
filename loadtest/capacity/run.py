"""`python -m loadtest.capacity.run` (`make loadtest`): Locust against a service, and a report of
it.

First a full house (closed loop), which gives the capacity that the shape is laid out by; then the
shape (`loadtest.traffic.shapes`). Without `--host` the service is started here, and its processes
watched.
Wiring and options.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from loadtest.benchmark.run import MODEL, RESULTS
from loadtest.capacity.locust_run import RAW, Place, run_locust
from loadtest.measure.service import served
from loadtest.traffic.album import ALBUM, INDEX
from loadtest.traffic.environment import Traffic
from loadtest.traffic.make_album import make_album
from loadtest.traffic.shapes import SHAPES

ShapeName = Literal["smoke", "steps", "soak", "spike", "overload"]
OWN_ALBUM = RAW / "photos"
WARM_UP_S, FULL_S = 8.0, 25.0


def drive(  # noqa: PLR0913 - every option is one
    shape: Annotated[ShapeName, typer.Option(help="How load changes over time.")] = "steps",
    host: Annotated[str, typer.Option(help="A running service; else one is started.")] = "",
    seconds: Annotated[float, typer.Option(min=0, help="Length of the shape; 0: its own.")] = 0,
    clients: Annotated[int, typer.Option(min=1, help="Clients of the full house.")] = 16,
    capacity: Annotated[
        float, typer.Option(min=0, help="Requests/s that 1 stands for; 0: those of a full house.")
    ] = 0,
    limit_ms: Annotated[float, typer.Option(min=1, help="The p99 that is still borne.")] = 1000,
    masks_only: Annotated[bool, typer.Option(help="Plain masks alone, no other output.")] = False,
    album: Annotated[
        Path, typer.Option(help="Folder that loadtest.traffic.make_album wrote.")
    ] = ALBUM,
    photos: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Folder of one's own photos."),
    ] = None,
    setting: Annotated[
        list[str], typer.Option(help="A setting of the service, as workers=2; may be repeated.")
    ] = [],  # noqa: B006 - typer's way
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = RESULTS,
) -> None:
    """Load a service with Locust, and say what it bears."""
    from loadtest.capacity.conclusion import Drive
    from loadtest.capacity.report import save

    if photos:
        album = OWN_ALBUM
    if photos or (album == ALBUM and not (album / INDEX).exists()):
        make_album(photos, album)
    settings = dict(each.split("=", 1) for each in setting)
    key = os.environ.get("FCNSERVE_KEY", "")
    traffic = Traffic(album=album, masks_only=masks_only, key=key)
    with place_of(host, settings) as place:
        full = None
        if not capacity:
            run_locust(place, traffic.shaped("full", clients, WARM_UP_S))
            tell(f"{clients} clients, who always ask, for {FULL_S:g} s ...")
            full = run_locust(place, traffic.shaped("full", clients, FULL_S)).figures()[0]
            capacity = full.answered
        tell(f"{shape}, where 1 is {capacity:.1f} requests/s ({SHAPES[shape].answers}) ...")
        ran = run_locust(place, traffic.shaped(shape, capacity, seconds))
    done = Drive(shape, clients, capacity, limit_ms, settings, full, ran, host)
    typer.echo(save(done, out))


@contextmanager
def place_of(host: str, settings: dict[str, str]) -> Iterator[Place]:
    """Have a service: the one that is there, or one of our own, whose processes can be seen."""
    if host:
        yield Place(host.rstrip("/"), {})
    else:
        tell("starting the service ...")
        with served(MODEL, settings) as service:
            yield Place(service.gateway_url, service.pids)


def tell(line: str) -> None:
    typer.echo(line, err=True)


if __name__ == "__main__":
    typer.run(drive)
