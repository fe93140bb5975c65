"""`fcnserve model package`."""

from pathlib import Path
from typing import Annotated

import typer

from model_store.tools.cli.errors import errors_in_a_line


def package(
    folder: Annotated[Path, typer.Argument(help="The model's folder, with its model.yaml.")],
    store: Annotated[
        Path | None, typer.Option(help="Where to put NAME.mar; beside the folder unless given.")
    ] = None,
) -> None:
    """Pack a model folder and the worker's code into an archive for TorchServe."""
    with errors_in_a_line():
        from model_store.tools.archive.package import package

        typer.echo(package(folder, store or folder.resolve().parent))
