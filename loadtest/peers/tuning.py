"""`python -m loadtest.peers.tuning [NAME ...]`: other servers with other configurations.

Measures a slice of the configuration in the catalogue and of its variants, one change at a time, a
server after the other. The best configurations belong in the catalogue.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from loadtest.benchmark.strategies import ONE_BY_ONE, PAD_TO_LARGEST
from loadtest.command_line import (
    MODEL,
    RESULTS,
    SAMPLES,
    SetName,
    prepare_environment,
    print_progress,
)
from loadtest.peers.catalogue import ENTRIES, OUR_NAME, PHOTOS_AT_A_TIME, Entry
from loadtest.peers.install import install

CLIENTS = 16
IMAGES = 48
SEED = 0
HEADINGS = (
    "server",
    "mixed sizes",
    "processes",
    "threads",
    "batch",
    "wait ms",
    "masks/s",
    "p99 ms",
)
LEFT = ("server", "mixed sizes")
WAITS_MS = (1, 20)


@dataclass(frozen=True, slots=True)
class TuningResult:
    """The figures of one configuration."""

    server: str
    grouping: str
    setup: dict[str, int]
    images_per_s: float
    p99_ms: float
    failed: int


def variants(entry: Entry) -> Iterator[Entry]:
    """Yield an entry's configurations: its own first, then one change at a time."""
    yield entry
    yield replace(entry, processes=1, threads=2)
    yield replace(entry, processes=3)
    if entry.grouping == ONE_BY_ONE and entry.peer.can_batch:
        yield entry.with_batch(1 if entry.batch > 1 else PHOTOS_AT_A_TIME)
    elif entry.grouping == PAD_TO_LARGEST:
        yield entry.with_batch(entry.batch * 2)
        for wait_ms in WAITS_MS:
            yield replace(entry, wait_ms=wait_ms)


def tune(
    names: Annotated[list[str] | None, typer.Argument(help="Servers; all unless given.")] = None,
    set_name: Annotated[SetName, typer.Option("--set", help="Sizes of the photos.")] = SetName.mix,
    seconds: Annotated[float, typer.Option(min=0, help="Time of a slice.")] = 4,
    out: Annotated[Path, typer.Option(help="Folder for .json and .md.")] = RESULTS,
) -> None:
    """Try other numbers of processes, threads and photos a batch, and other waits."""
    entries = [e for e in ENTRIES if e.peer.name != OUR_NAME]
    selected = [e for e in entries if not names or e.peer.name in names]
    install([*dict.fromkeys(entry.peer.name for entry in selected)])
    prepare_environment("cpu", threads=0)
    from loadtest.traffic.corpus import make_photos

    sources = sorted(SAMPLES.glob("*.jpg"))
    photos = [photo.body for photo in make_photos(set_name, IMAGES, SEED, sources)]
    results = []
    for entry in selected:
        for variant in variants(entry):
            results.append(measure(variant, photos, seconds))
            print_progress(" ".join(cells_of(results[-1])))
    typer.echo(save(results, set_name, out))


def measure(entry: Entry, photos: Sequence[bytes], seconds: float) -> TuningResult:
    """Start a server, warm it up for `seconds`, and measure it for as long."""
    from loadtest.measure.service_load import start_client_process
    from loadtest.peers.page import p99_ms
    from loadtest.peers.server import start_server

    with (
        start_server(entry, MODEL, photos[0]) as server,
        start_client_process() as client_process,
    ):
        server.measure(photos, CLIENTS, seconds, client_process)
        found, _ = server.measure(photos, CLIENTS, seconds, client_process)
    return TuningResult(
        entry.peer.name,
        entry.grouping,
        entry.configuration(),
        found.images_per_s,
        p99_ms(found),
        found.failed,
    )


def cells_of(one: TuningResult) -> tuple[str, ...]:
    """Write a row's cells, in the order of HEADINGS."""
    failed = f" ({one.failed} failed)" if one.failed else ""
    setup = (str(value) for value in one.setup.values())
    rate = f"{one.images_per_s:.1f}{failed}"
    return (one.server, one.grouping, *setup, rate, f"{one.p99_ms:.0f}")


def save(results: Sequence[TuningResult], set_name: str, folder: Path) -> str:
    """Write `.json` and `.md`; returns the page."""
    from loadtest.report.machine import hardware, revision
    from loadtest.report.markdown import fact_list, table
    from loadtest.report.result_files import write_result

    facts: dict[str, object] = {"set": str(set_name), "clients": CLIENTS, "images": IMAGES}
    facts |= {"hardware": hardware(), "revision": revision()}
    rows = table([cells_of(one) for one in results], HEADINGS, LEFT)
    page = f"# Configurations of other servers\n\n{fact_list(facts)}\n\n{rows}\n\n{NOTES}"
    data = facts | {"configurations": [asdict(one) for one in results]}
    write_result(folder / f"peers-tuning-{set_name}", page, data)
    return page


NOTES = """\
Made by `python -m loadtest.peers.tuning`. One slice each, so a few per cent are noise. The first
row of each kind of a server is the configuration of `make peers`.
"""

if __name__ == "__main__":
    typer.run(tune)
