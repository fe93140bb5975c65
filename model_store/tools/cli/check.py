"""`fcnserve model check`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from model_store.tools.cli.errors import errors_in_a_line

if TYPE_CHECKING:
    from handlers.model_config import ModelConfig
    from model_store.tools.check.check import CheckResult

MEGA = 1e6
# of the photo; classes that cover less are not printed
MIN_SHARE = 0.0005


def check(
    folder: Annotated[Path, typer.Argument(help="The model's folder, with its model.yaml.")],
    photo: Annotated[
        Path | None, typer.Option(help="A photo to segment: time taken, classes found.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to put the photo's mask, a PNG.")
    ] = None,
) -> None:
    """Check a model folder, and segment a photo with it."""
    check_mask_name(photo, out)
    from model_store.tools.check.check import check

    result = check(folder)
    config = print_result(folder, result)
    if photo is not None:
        segment_photo(folder, config, photo, out)


def check_mask_name(photo: Path | None, out: Path | None) -> None:
    if out is not None and photo is None:
        raise typer.BadParameter("there is no mask without --photo")
    if out is not None and out.suffix.lower() != ".png" and (out.is_file() or not out.exists()):
        raise typer.BadParameter(f"{out}: a mask is written as .png, such as -o mask.png")


def print_result(folder: Path, result: "CheckResult") -> "ModelConfig":
    """Print warnings and errors; exit with 1 where the model cannot be served."""
    for warning in result.warnings:
        typer.echo(f"warning: {warning}", err=True)
    for error in result.errors:
        typer.echo(f"error: {error}", err=True)
    if result.errors or result.config is None:
        raise typer.Exit(1)
    config = result.config
    megabytes = (folder / config.weights).stat().st_size / MEGA
    typer.echo(
        f"{config.name} {config.version} can be served: {config.architecture}, "
        f"{len(config.classes)} classes, {megabytes:.1f} MB of weights"
    )
    return config


def segment_photo(folder: Path, config: "ModelConfig", photo: Path, out: Path | None) -> None:
    from handlers.shared.errors import ProblemError
    from model_store.tools.check.try_photo import try_photo

    with errors_in_a_line(ProblemError):
        result = try_photo(folder, config, photo.read_bytes())
        if out is not None:
            out.write_bytes(result.mask)
    typer.echo(
        f"loaded in {result.load_s:.1f} s, {photo.name} in {result.photo_ms:.0f} ms "
        f"({result.numerics})"
    )
    shown = [each for each in result.classes if each.share >= MIN_SHARE]
    typer.echo("found " + ", ".join(f"{each.name} {each.share:.1%}" for each in shown))
    if out is not None:
        typer.echo(f"mask: {out}")
