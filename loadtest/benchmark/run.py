"""`python -m loadtest.benchmark.run` (`make bench`): four ways to batch, and the service.

Wiring and options; the run is in `loadtest.benchmark.rounds`. The modules that need torch are
imported once the environment is set: oneDNN and CUDA read theirs when they are loaded. The client
process imports this module too.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from loadtest.command_line import (
    MODEL,
    RESULTS,
    SAMPLES,
    SetName,
    parse_settings,
    prepare_environment,
    print_progress,
)

Device = Literal["cpu", "cuda"]


def bench(  # noqa: PLR0913 - every option is one
    model: Annotated[Path, typer.Option(help="Folder of the model, with its model.yaml.")] = MODEL,
    set_name: Annotated[
        list[SetName], typer.Option("--set", help="Sizes of the photos; may be repeated.")
    ] = list(SetName),  # noqa: B006 - typer's way
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = "cpu",
    batch: Annotated[int, typer.Option(min=1, help="Images per batch, in process.")] = 8,
    images: Annotated[int, typer.Option(min=1, help="Photos per set.")] = 48,
    threads: Annotated[
        int, typer.Option(min=0, help="CPU threads of the network, in process; 0: one a core.")
    ] = 0,
    clients: Annotated[int, typer.Option(min=1, help="Clients at a time, over HTTP.")] = 16,
    seconds: Annotated[float, typer.Option(min=0, help="Time per row, all rounds.")] = 20,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that the time is cut into.")] = 8,
    seed: Annotated[int, typer.Option(help="Chooses sizes and crops.")] = 0,
    photos: Annotated[
        Path, typer.Option(help="Folder of JPEGs that the photos are cut from.")
    ] = SAMPLES,
    serve: Annotated[bool, typer.Option(help="Also through TorchServe and the gateway.")] = True,
    setting: Annotated[
        list[str], typer.Option(help="A setting of the service, as workers=2; may be repeated.")
    ] = [],  # noqa: B006 - typer's way
    out: Annotated[Path, typer.Option(help="Folder for .json, .md and .png.")] = RESULTS,
) -> None:
    """Measure four ways to batch photos of mixed sizes, and the service around ours."""
    prepare_environment(device, threads)
    from loadtest.benchmark.plot import save_plot
    from loadtest.benchmark.report import save
    from loadtest.benchmark.result import BenchmarkOptions
    from loadtest.benchmark.rounds import run
    from loadtest.report.machine import environment_facts

    sources = sorted(photos.glob("*.jpg"))
    if not sources:
        raise typer.BadParameter(f"there is no .jpg in {photos}", param_hint="--photos")
    options = BenchmarkOptions(
        model=model.resolve().name,
        device=device,
        sets=tuple(map(str, set_name)),
        images=images,
        batch=batch,
        clients=clients,
        rounds=rounds,
        seconds=seconds,
        seed=seed,
        photos=photos.resolve().name,
        served=serve,
        settings=parse_settings(setting),
    )
    result = run(model, sources, options, print_progress)
    machine = environment_facts(device=result.device)
    for name in options.sets:
        page, stem = save(result, name, machine, out)
        title = f"{options.model}, {name}, {device}"
        save_plot(list(result.sets[name].rows.values()), title, stem.with_suffix(".png"))
        typer.echo(page)


if __name__ == "__main__":
    typer.run(bench)
