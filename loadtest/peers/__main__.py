"""`python -m loadtest.peers` (`make peers`): this service and other servers, the same network.

Wiring and options; the run is in `loadtest.peers.run`.
"""

import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from loadtest.command_line import (
    MODEL,
    RESULTS,
    SAMPLES,
    SetName,
    prepare_environment,
    print_progress,
)
from loadtest.peers.catalogue import ENTRIES, OUR_NAME, Entry
from loadtest.peers.install import install


def peers(  # noqa: PLR0913 - every option is one
    only: Annotated[
        list[str] | None, typer.Option(help="A server to compare with; all unless given.")
    ] = None,
    model: Annotated[Path, typer.Option(help="Folder of the model, with its model.yaml.")] = MODEL,
    set_name: Annotated[SetName, typer.Option("--set", help="Sizes of the photos.")] = SetName.mix,
    images: Annotated[int, typer.Option(min=1, help="Photos.")] = 48,
    clients: Annotated[int, typer.Option(min=1, help="Clients at a time.")] = 16,
    rounds: Annotated[int, typer.Option(min=1, help="Slices per server.")] = 8,
    seconds: Annotated[float, typer.Option(min=0, help="Time of a slice.")] = 2,
    warm_up: Annotated[float, typer.Option(min=0, help="Seconds of load before it.")] = 5,
    seed: Annotated[int, typer.Option(help="Chooses sizes and crops.")] = 0,
    add: Annotated[bool, typer.Option(help="Add the rounds to those of the last run.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for .json, .md and .png.")] = RESULTS,
) -> None:
    """Measure other servers around the same network, and ours, in turns."""
    # so that the context managers stop the servers
    signal.signal(signal.SIGTERM, lambda signum, _: sys.exit(128 + signum))
    entries = select_entries(only)
    install([*dict.fromkeys(e.peer.name for e in entries if e.peer.name != OUR_NAME)])
    prepare_environment("cpu", threads=0)
    from loadtest.peers.page import save
    from loadtest.peers.record import Record, record_of
    from loadtest.peers.run import Terms, run
    from loadtest.report.machine import environment_facts
    from loadtest.traffic.corpus import make_photos

    terms = Terms(str(set_name), images, clients, rounds, seconds, warm_up, seed)
    facts = {"model": model.resolve().name, **asdict(terms), **environment_facts()}
    photos = make_photos(set_name, images, seed, sorted(SAMPLES.glob("*.jpg")))
    bodies = [photo.body for photo in photos]
    stem = out / f"peers-cpu-{set_name}"
    earlier = Record.read(stem.with_suffix(".json")) if add else None
    page = ""
    for results in run(entries, model, bodies, terms, print_progress):
        record = record_of([entry for entry in entries if entry.name in results], results, facts)
        if earlier and len(results) == len(entries):
            record = earlier.joined(record)
        page = save(record, stem)
    typer.echo(page)


def select_entries(names: Sequence[str] | None) -> list[Entry]:
    """Return our entry, and those of the named servers; of all servers without names."""
    known = {entry.peer.name for entry in ENTRIES}
    if unknown := set(names or ()) - known:
        raise typer.BadParameter(
            f"{', '.join(sorted(unknown))}: not among {', '.join(sorted(known))}",
            param_hint="--only",
        )
    return [e for e in ENTRIES if not names or e.peer.name in {OUR_NAME, *names}]


if __name__ == "__main__":
    typer.run(peers)
