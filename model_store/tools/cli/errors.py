"""What cannot be done is told in a line on stderr, with exit code 1; the rest is a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def told_in_a_line(*more: type[Exception]) -> Iterator[None]:
    """End the command for a folder that is no model's, for files that cannot be used, and for
    what else a command names.
    """
    from model_store.tools.archive.package import ModelFolderError

    refused: tuple[type[Exception], ...] = (ModelFolderError, OSError, *more)
    try:
        yield
    except refused as error:
        typer.echo(words(error), err=True)
        raise typer.Exit(1) from error


def words(error: Exception) -> str:
    """Write the system's own errors as file and reason, the others as they are."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
