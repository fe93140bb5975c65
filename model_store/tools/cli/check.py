"""`fcnserve model check`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from model_store.tools.cli.errors import told_in_a_line

if TYPE_CHECKING:
    from handlers.model_config import ModelConfig

MEGA = 1e6
# of the photo; smaller regions are counted, not named
LEAST_SHARE = 0.0005


def check(
    folder: Annotated[Path, typer.Argument(help="The model's folder, with its model.yaml.")],
    photo: Annotated[
        Path | None, typer.Option(help="A photo to try it on: time taken, classes seen.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to put the photo's mask, a PNG.")
    ] = None,
) -> None:
    """Tell what is wrong with a model folder, and what it makes of a photo."""
    if out is not None and photo is None:
        raise typer.BadParameter("there is no mask without --photo")
    if out is not None and out.suffix.lower() != ".png" and (out.is_file() or not out.exists()):
        raise typer.BadParameter(f"{out}: a mask is written as .png, such as -o mask.png")
    from model_store.tools.check.check import check

    found = check(folder)
    for doubt in found.doubts:
        typer.echo(f"doubt: {doubt}", err=True)
    for error in found.errors:
        typer.echo(f"error: {error}", err=True)
    if found.errors or found.config is None:
        raise typer.Exit(1)
    config = found.config
    megabytes = (folder / config.weights).stat().st_size / MEGA
    typer.echo(
        f"{config.name} {config.version} can be served: {config.architecture}, "
        f"{len(config.classes)} classes, {megabytes:.1f} MB of weights"
    )
    if photo is not None:
        run_trial(folder, config, photo, out)


def run_trial(folder: Path, config: "ModelConfig", photo: Path, out: Path | None) -> None:
    from handlers.shared.errors import ProblemError
    from model_store.tools.check.try_photo import try_photo

    with told_in_a_line(ProblemError):
        trial = try_photo(folder, config, photo.read_bytes())
        if out is not None:
            out.write_bytes(trial.mask)
    typer.echo(
        f"loaded in {trial.load_s:.1f} s, {photo.name} in {trial.photo_ms:.0f} ms ({trial.runs_on})"
    )
    shown = [each for each in trial.seen if each.share >= LEAST_SHARE]
    typer.echo("sees " + ", ".join(f"{each.name} {each.share:.1%}" for each in shown))
    if out is not None:
        typer.echo(f"mask: {out}")
