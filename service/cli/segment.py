"""`fcnserve segment`: sends photos to a running server, several at a time, and writes the answers.

In: the command line. Out: files or a stream; one line on standard error for each photo that
failed; exit status 1 when one did. `service/cli/main.py` mounts `segment`.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from service.client.errors import AllRefusedError, ServerUnreachableError
from service.client.files import BadNamesError, OutputName, PhotoJob, plan_jobs
from service.client.http import Query, Server
from service.client.segment import PhotoOutcome, segment_all
from service.client.server_url import KEY_VARIABLE, URL_HELP, URL_VARIABLE, BadUrlError, server_url
from service.client.write import open_descriptor

IMAGES: frozenset[OutputName] = frozenset({"mask", "labels", "overlay", "confidence"})
"""Outputs that are no text, and not for a terminal."""

INTERRUPTED = 130
"""The exit status that shells give to a command that Ctrl-C ended."""


def segment(  # noqa: PLR0913  (one argument an option)
    photos: Annotated[
        list[str], typer.Argument(metavar="PHOTO", help="Photos; - reads standard input.")
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out", "-o", help="A file, or a folder (masks/); - writes to standard output."
        ),
    ],
    url: Annotated[str | None, typer.Option(envvar=URL_VARIABLE, help=URL_HELP)] = None,
    output: Annotated[OutputName, typer.Option(help="What to make of each photo.")] = "mask",
    classes: Annotated[
        str | None, typer.Option(help="Keep these classes only: names or ids, by commas.")
    ] = None,
    min_area: Annotated[
        int | None, typer.Option(min=0, help="Drop regions of fewer pixels.")
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(min=0, max=1, help="The overlay's opacity.")
    ] = None,
    legend: Annotated[
        bool, typer.Option("--legend", help="Name an overlay's classes in its corner.")
    ] = False,
    orientation: Annotated[
        Literal["exif", "stored"] | None, typer.Option(help="Turn by EXIF, or not.")
    ] = None,
    max_side: Annotated[
        int | None,
        typer.Option(min=32, max=16384, help="Longest side of the network's input, in pixels."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="A model's name.")] = None,
    timeout_ms: Annotated[
        int | None, typer.Option(min=1, help="Deadline of each request, in milliseconds.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(envvar=KEY_VARIABLE, help="API key, where the server wants one."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Requests at a time.")] = 4,
) -> None:
    """Segment PHOTOs with a running server and write masks or other outputs to OUT."""
    query = Query(
        output, classes, min_area, alpha, orientation, max_side, model, timeout_ms, legend or None
    )
    try:
        plan = plan_jobs(photos, out, output)
        server = Server(server_url(url), key)
    except (BadNamesError, BadUrlError) as error:
        raise typer.BadParameter(str(error)) from error
    _check_terminal(plan[0], output)
    if key is not None and not (key.isascii() and key.isprintable()):
        raise typer.BadParameter("an API key has printable ASCII characters only")
    outcomes = _run(plan, server, query, jobs)
    if len(outcomes) < len(plan) or any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


def _check_terminal(job: PhotoJob, output: OutputName) -> None:
    """Raise BadParameter where a terminal is the input of a photo, or the output of an image."""
    if job.source is None and (sys.stdin is None or sys.stdin.isatty()):
        raise typer.BadParameter(
            "no photo on standard input: redirect one to it, as in < photo.jpg"
        )
    number = 1 if job.target is None else open_descriptor(job.target)
    if output in IMAGES and number is not None and os.isatty(number):
        raise typer.BadParameter("an image would garble the terminal: redirect it, or use -o FILE")


def _run(
    plan: Sequence[PhotoJob], server: Server, query: Query, parallel: int
) -> list[PhotoOutcome]:
    """Segment all photos; prints each failure once, and of several photos the count."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    several = len(plan) > 1
    outcomes: list[PhotoOutcome] = []
    with _progress(console, shown=several and console.is_terminal) as progress:
        on_done = _reporter(progress, len(plan), outcomes)
        try:
            asyncio.run(segment_all(plan, server, query, parallel=parallel, on_done=on_done))
        except KeyboardInterrupt:
            console.print("stopped")
            raise typer.Exit(INTERRUPTED) from None
        finally:
            if several:
                done = sum(outcome.error is None for outcome in outcomes)
                console.print(f"{done} of {len(plan)} photos segmented")
    return outcomes


def _reporter(
    progress: Progress, photos: int, outcomes: list[PhotoOutcome]
) -> Callable[[PhotoOutcome], None]:
    """Give a function that appends an outcome, advances the bar, and prints a new failure."""
    task = progress.add_task("segmenting", total=photos)
    printed: set[str] = set()

    def on_done(outcome: PhotoOutcome) -> None:
        outcomes.append(outcome)
        progress.advance(task)
        line = _line(outcome)
        if line and line not in printed:
            printed.add(line)
            progress.console.print(line)

    return on_done


def _progress(console: Console, *, shown: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    left = TimeRemainingColumn(), TextColumn("left")
    return Progress(*columns, *left, console=console, disable=not shown)


def _line(outcome: PhotoOutcome) -> str:
    """Describe a failure in one line; empty for a success.

    An error that every photo would meet is described without the photo's name.
    """
    error = outcome.error
    if error is None:
        return ""
    if isinstance(error, ServerUnreachableError | AllRefusedError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or outcome.job}: {error.strerror}"
    return f"{outcome.job}: {error}"
