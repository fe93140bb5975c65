"""`fcnserve model convert`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from model_store.tools.cli.errors import errors_in_a_line


def convert(  # noqa: PLR0913 - one argument an option
    checkpoint: Annotated[
        Path,
        typer.Argument(help=".pth, .safetensors, .caffemodel, or a model's folder."),
    ],
    to: Annotated[Path, typer.Option(help="The folder to make, named as the model will be.")],
    classes: Annotated[
        str,
        typer.Option(help="The classes' names, separated by commas; its data set's unless given."),
    ] = "",
    stride: Annotated[
        Literal[32, 16, 8], typer.Option(help="Classifiers: stride of the new FCN's scores.")
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
    head: Annotated[
        Literal["semantic", "geometric"],
        typer.Option(help="caffe's networks for SIFT Flow: which of their two heads."),
    ] = "semantic",
) -> None:
    """Make a model folder of a checkpoint: a classifier, a published FCN, ours."""
    from handlers.net.options import LiteOptions
    from model_store.tools.convert.architecture import ConvertOptions
    from model_store.tools.convert.convert import convert
    from model_store.tools.convert.state_dict import CheckpointError

    names = [name.strip() for name in classes.split(",")] if classes else []
    options = ConvertOptions(
        stride=stride,
        lite=LiteOptions(skips=skips),
        same_padding=same_padding,
        at_once=at_once,
        head=head,
    )
    with errors_in_a_line(CheckpointError):
        source, config = convert(checkpoint, to, options, names)
    typer.echo(
        f"{to}: {config.architecture} with {source.classes} classes, from {source.description}"
    )
