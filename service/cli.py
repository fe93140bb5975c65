"""`fcnserve`, the one command: `serve` runs everything, `gateway` and `worker` run its halves.

Containers run the same `gateway` and `worker` as `serve` does. Imports of what is slow, or not
installed in every image, wait until a command needs them.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from service.client import segment

app = typer.Typer(
    help="POST a photo, get its segmentation mask.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
model = typer.Typer(help="Models: one folder each, packed into an archive.", no_args_is_help=True)
app.add_typer(model, name="model")
app.command()(segment)


@app.command()
def serve(
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; FCNSERVE_PORT or 8000 unless given.")
    ] = None,
) -> None:
    """Run worker and gateway on this machine, until Ctrl-C or SIGTERM."""
    from service.serve import serve as run

    raise typer.Exit(run(port))


@app.command()
def gateway() -> None:
    """Run the gateway: HTTP in, HTTP out. Settings come from FCNSERVE_* variables."""
    from service.gateway import run

    raise typer.Exit(run())


@app.command()
def worker() -> None:
    """Pack the models where that is due, and run TorchServe with them."""
    from service.worker import run

    raise typer.Exit(run())


@app.command()
def key(
    name: Annotated[
        str | None, typer.Argument(help="What the log calls it; its hash unless given.")
    ] = None,
) -> None:
    """Make an API key: it is printed once, and below it its line for FCNSERVE_API_KEYS_FILE."""
    from service.keys import KeysFileError, make_key

    try:
        secret, made = make_key(name)
    except KeysFileError as error:
        raise typer.BadParameter("names have letters, digits and . _ @ -, up to 64") from error
    typer.echo(secret)
    typer.echo(made.line)


@model.command("package")
def model_package(
    folder: Annotated[Path, typer.Argument(help="The model's folder, with its model.yaml.")],
    store: Annotated[
        Path | None, typer.Option(help="Where to put NAME.mar; beside the folder unless given.")
    ] = None,
) -> None:
    """Pack a model folder and the worker's code into an archive for TorchServe."""
    from model_store.package import ModelFolderError, package

    try:
        typer.echo(package(folder, store or folder.resolve().parent))
    except (ModelFolderError, OSError) as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from error


@model.command("convert")
def model_convert(
    checkpoint: Annotated[
        Path, typer.Argument(help="A state dict (.pth, .safetensors), or a model's folder.")
    ],
    to: Annotated[Path, typer.Option(help="The folder to make, named as the model will be.")],
    classes: Annotated[
        str, typer.Option(help="The classes' names, separated by commas; VOC's unless given.")
    ] = "",
    stride: Annotated[
        Literal[32, 16, 8], typer.Option(help="Classifiers: of the scores of the FCN to begin.")
    ] = 32,
    skips: Annotated[
        Literal["project", "expand"],
        typer.Option(help="EfficientNet-Lite classifiers: which features FCN-16s and 8s score."),
    ] = "project",
    same_padding: Annotated[
        bool, typer.Option("--same-padding", help="VGG16 classifiers: do not pad photos by 100.")
    ] = False,
    at_once: Annotated[
        bool,
        typer.Option("--at-once", help="The port's FCN8sAtOnce, whose pool scores are scaled."),
    ] = False,
) -> None:
    """Make a model folder of a checkpoint: a VGG16 or Lite classifier, a published FCN, ours."""
    from handlers.net.options import LiteOptions
    from model_store.checkpoint import CheckpointError
    from model_store.convert import convert
    from model_store.package import ModelFolderError
    from model_store.recognised import Wish

    names = [name.strip() for name in classes.split(",")] if classes else []
    wish = Wish(
        stride=stride,
        lite=LiteOptions(skips=skips),
        same_padding=same_padding,
        at_once=at_once,
    )
    try:
        found, config = convert(checkpoint, to, wish, names)
    except (CheckpointError, ModelFolderError, OSError) as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{to}: {config.architecture} with {found.classes} classes, from {found.what}")


def main() -> None:
    """Run the command line; a wrong setting is told of in a line, not in a traceback."""
    try:
        app()
    except ValueError as error:
        if not (problems := wrong_settings(error)):
            raise
        for problem in problems:
            typer.echo(problem, err=True)
        raise SystemExit(2) from error


def wrong_settings(error: ValueError) -> list[str]:
    """Name the variables that are wrong; nothing where the error is another."""
    from pydantic import ValidationError

    from service.keys import KeysFileError

    if isinstance(error, KeysFileError):
        return [str(error)]
    if not isinstance(error, ValidationError) or error.title != "Settings":
        return []
    return [
        f"FCNSERVE_{'.'.join(map(str, finding['loc'])).upper()}={finding['input']}: "
        f"{finding['msg']}; see the settings in README.md"
        for finding in error.errors()
    ]


if __name__ == "__main__":
    main()
