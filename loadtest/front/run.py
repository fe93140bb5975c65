"""`python -m loadtest.front.run` (`make bench-front`): servers around a network that costs nothing.

Wiring and options; the run is in `loadtest.front.turns`. The client process imports this module
too.
"""

import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from loadtest.command_line import (
    RESULTS,
    SetName,
    parse_settings,
    prepare_environment,
    print_progress,
)


def front(  # noqa: PLR0913 - every option is one
    only: Annotated[
        list[str] | None,
        typer.Option(help="ours, torchserve, mosec or litserve; all unless given."),
    ] = None,
    clients: Annotated[
        list[int], typer.Option(min=1, help="Clients at a time, in this order; may be repeated.")
    ] = [16, 64, 1],  # noqa: B006 - typer's way
    turns: Annotated[int, typer.Option(min=1, help="Turns of each server.")] = 2,
    seconds: Annotated[float, typer.Option(min=0, help="Time of a slice.")] = 4,
    warm_up: Annotated[float, typer.Option(min=0, help="Seconds of load before a turn.")] = 4,
    set_name: Annotated[SetName, typer.Option("--set", help="Sizes of the photos.")] = SetName.mix,
    images: Annotated[int, typer.Option(min=1, help="Photos.")] = 48,
    setting: Annotated[
        list[str], typer.Option(help="A setting of ours, as workers=2; may be repeated.")
    ] = [],  # noqa: B006 - typer's way
    hops: Annotated[
        bool, typer.Option("--hops", help="Only the way of a single photo through ours.")
    ] = False,
    processes: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Only ours, with so many gateway processes; may be repeated."),
    ] = None,
    json_path: Annotated[
        Path, typer.Option("--json", help="The data; the page has the same name with .md.")
    ] = RESULTS / "front.json",
) -> None:
    """Measure gateway, TorchServe and other servers around a network that costs nothing."""
    # so that the context managers stop the servers
    signal.signal(signal.SIGTERM, lambda signum, _: sys.exit(128 + signum))
    prepare_environment("cpu", threads=0)
    from loadtest.front.data import prepare_data
    from loadtest.front.gateway_processes import run_processes, save_processes
    from loadtest.front.hops import measure_hops, save_hops
    from loadtest.front.report import save
    from loadtest.front.servers import NAMES, OTHERS, OURS
    from loadtest.front.turns import Terms, run
    from loadtest.peers.install import install, server_version
    from loadtest.report.machine import environment_facts

    facts = environment_facts()
    stem = json_path.with_suffix("")
    if hops:
        found = measure_hops(prepare_data(str(set_name), images), parse_settings(setting))
        typer.echo(save_hops(found, facts, stem.with_name(f"{stem.name}-hops")))
        return
    names = select([OURS] if processes else only, NAMES)
    install([name for name in names if name in OTHERS])
    terms = Terms(
        names,
        str(set_name),
        images,
        tuple(clients),
        turns,
        seconds,
        warm_up,
        parse_settings(setting),
    )
    data = prepare_data(terms.set_name, terms.images)
    packages = {name: server_version(OTHERS[name].peer) for name in names if name in OTHERS}
    facts = facts | asdict(terms) | {"mean_jpeg_bytes": data.mean_bytes, "packages": packages}
    if processes:
        results = run_processes(data, terms, processes, print_progress)
        typer.echo(save_processes(results, facts, stem.with_name(f"{stem.name}-processes")))
        return
    slices = run(data, terms, print_progress)
    typer.echo(save(slices, facts, stem))


def select(names: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """Return the named servers in their order of the table; all without names."""
    if unknown := set(names or ()) - set(known):
        raise typer.BadParameter(
            f"{', '.join(sorted(unknown))}: not among {', '.join(known)}", param_hint="--only"
        )
    return [name for name in known if not names or name in names]


if __name__ == "__main__":
    typer.run(front)
