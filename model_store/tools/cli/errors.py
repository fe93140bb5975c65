"""A command's expected errors in, one line on stderr and exit code 1 out.

Other errors keep their traceback. Every command of `fcnserve model` runs inside `errors_in_a_line`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def errors_in_a_line(*more: type[Exception]) -> Iterator[None]:
    """Print ModelFolderError, OSError and the command's own errors `more`, and exit with 1."""
    from model_store.tools.archive.model_folder import ModelFolderError

    expected: tuple[type[Exception], ...] = (ModelFolderError, OSError, *more)
    try:
        yield
    except expected as error:
        typer.echo(message_of(error), err=True)
        raise typer.Exit(1) from error


def message_of(error: Exception) -> str:
    """Format an error of the operating system as file and reason, any other as its own text."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
