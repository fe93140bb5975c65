"""`python -m loadtest.peers.tuning [NAME ...]`: how other servers fare with other set-ups.

The set-up in the catalogue and, around it, one change at a time; a slice of each, a server after
the other. What is best here is what the catalogue should have.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from loadtest.benchmark.run import MODEL, RESULTS, SAMPLES, SetName, prepare_environment
from loadtest.benchmark.strategies import ONE_BY_ONE, PAD_TO_LARGEST
from loadtest.peers.catalogue import ENTRIES, HANDED_OVER, OUR_NAME, Entry
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
WAITS_MS = (1, 20)


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a set-up; where it failed there are no figures."""

    server: str
    grouping: str
    setup: dict[str, int]
    images_per_s: float
    p99_ms: float
    failed: int


def variants(entry: Entry) -> Iterator[Entry]:
    """Name an entry's set-ups: its own first, then one change at a time."""
    yield entry
    yield replace(entry, processes=1, threads=2)
    yield replace(entry, processes=3)
    if entry.grouping == ONE_BY_ONE and entry.peer.batches:
        yield entry.taking(1 if entry.batch > 1 else HANDED_OVER)
    elif entry.grouping == PAD_TO_LARGEST:
        yield entry.taking(entry.batch * 2)
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
    chosen = [e for e in entries if not names or e.peer.name in names]
    install([*dict.fromkeys(entry.peer.name for entry in chosen)])
    prepare_environment("cpu", threads=0)
    from loadtest.traffic.corpus import photos_of

    sources = sorted(SAMPLES.glob("*.jpg"))
    photos = [photo.body for photo in photos_of(set_name, IMAGES, SEED, sources)]
    tried = []
    for entry in chosen:
        for variant in variants(entry):
            tried.append(attempt(variant, photos, seconds))
            typer.echo(" ".join(cells_of(tried[-1])), err=True)
    typer.echo(save(tried, set_name, out))


def attempt(entry: Entry, photos: Sequence[bytes], seconds: float) -> Tried:
    """Start a server set up so, warm it up as long as it is measured, and measure."""
    from loadtest.measure.service import client_process
    from loadtest.peers.page import p99_ms
    from loadtest.peers.server import hosted

    with hosted(entry, MODEL, photos[0]) as server, client_process() as executor:
        server.burst(photos, CLIENTS, seconds, executor)
        found, _ = server.burst(photos, CLIENTS, seconds, executor)
    return Tried(
        entry.peer.name,
        entry.grouping,
        entry.told(),
        found.images_per_s,
        p99_ms(found),
        found.failed,
    )


def cells_of(one: Tried) -> tuple[str, ...]:
    """Write a row's cells, in the order of HEADINGS."""
    failed = f" ({one.failed} failed)" if one.failed else ""
    setup = (str(value) for value in one.setup.values())
    rate = f"{one.images_per_s:.1f}{failed}"
    return (one.server, one.grouping, *setup, rate, f"{one.p99_ms:.0f}")


def save(tried: Sequence[Tried], set_name: str, folder: Path) -> str:
    """Write `.json` and `.md`; returns the page."""
    from loadtest.benchmark.report import plain, table
    from loadtest.measure.machine import hardware, revision

    about: dict[str, object] = {"set": str(set_name), "clients": CLIENTS, "images": IMAGES}
    about |= {"hardware": hardware(), "revision": revision()}
    told = "\n".join(f"- {name}: {plain(value)}" for name, value in about.items())
    rows = table([cells_of(one) for one in tried], HEADINGS)
    page = f"# Set-ups of other servers\n\n{told}\n\n{rows}\n\n{NOTES}"
    stem = folder / f"peers-tuning-{set_name}"
    folder.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".md").write_text(page)
    raw = about | {"tried": [asdict(one) for one in tried]}
    stem.with_suffix(".json").write_text(json.dumps(raw, indent=1) + "\n")
    return page


NOTES = """\
Made by `python -m loadtest.peers.tuning`. One slice each, so a few per cent are noise. A server's
first row of each kind is what `make peers` compares with.
"""

if __name__ == "__main__":
    typer.run(tune)
