"""`fcnserve model new`."""

from pathlib import Path
from typing import Annotated

import typer

from model_store.tools.cli.errors import errors_in_a_line


def new(
    folder: Annotated[Path, typer.Argument(help="The folder to make, named as the model will be.")],
    classes: Annotated[
        str,
        typer.Option(
            help="The classes' names, by commas; `background` is what is none of the others."
        ),
    ],
    start: Annotated[
        str,
        typer.Option(
            help="Initial weights: `imagenet`, a model's folder or a checkpoint; the model that "
            "comes with fcnserve unless given."
        ),
    ] = "",
    architecture: Annotated[
        str, typer.Option(help="Such as fcn8s-lite1; the start's unless given.")
    ] = "",
) -> None:
    """Make a model folder for classes of your own: model.yaml, weights to train, a card."""
    from model_store.tools.convert.state_dict import CheckpointError
    from model_store.tools.create.create import create_model

    names = [name.strip() for name in classes.split(",")]
    with errors_in_a_line(CheckpointError):
        made = create_model(folder, names, start, architecture)
    count = len(made.config.classes)
    typer.echo(f"{folder}: {made.config.architecture} with {count} classes, from {made.start}")
    if made.untrained:
        typer.echo(f"yet to be trained: {', '.join(made.untrained)}")
    typer.echo(f"next: fcnserve model train {folder} --data FOLDER-OF-PHOTOS-AND-MASKS")
