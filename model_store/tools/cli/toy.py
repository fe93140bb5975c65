"""`fcnserve model toy`."""

from pathlib import Path
from typing import Annotated

import typer

from model_store.tools.cli.errors import errors_in_a_line


def toy(
    data: Annotated[Path, typer.Argument(help="The folder to make.")],
    photos: Annotated[int, typer.Option(min=2, help="How many.")] = 40,
) -> None:
    """Draw photos of discs, with masks of two classes, to try training with."""
    from model_store.tools.dataset.errors import DataError
    from model_store.tools.dataset.toy import CLASSES, draw_data_set

    with errors_in_a_line(DataError):
        draw_data_set(data, photos)
    typer.echo(f"{data}: {photos} photos with masks of the classes {', '.join(CLASSES)}")
