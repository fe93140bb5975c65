"""`fcnserve segment`: sends photos to a running server, several at a time, and writes the answers.

In: the command line. Out: files or a stream; one line on standard error for each photo that
failed; exit status 1 when one did. `service/cli/main.py` mounts `segment`.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import Annotated, Literal, TypeVar

import typer
from aiohttp import ClientSession
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from service.client.files import (
    BadNamesError,
    Job,
    OutputName,
    plan_jobs,
    read_photo,
    wants_jpeg,
)
from service.client.http import (
    ANYTHING,
    AllRefusedError,
    PhotoFailedError,
    Query,
    Server,
    ServerUnreachableError,
    open_session,
    post_photo,
)
from service.client.server_url import KEY_VARIABLE, URL_HELP, URL_VARIABLE, BadUrlError, server_url
from service.client.write import is_stream, open_descriptor, write_answer

IMAGES: frozenset[OutputName] = frozenset({"mask", "labels", "overlay", "confidence"})
"""Outputs that a terminal cannot show."""

INTERRUPTED = 130
"""The exit status that shells give to what Ctrl-C ended."""

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one photo: its answer is written, or this is why not."""

    job: Job
    error: Exception | None = None


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
        Literal["exif", "stored"] | None, typer.Option(help="Turn as EXIF says, or not.")
    ] = None,
    max_side: Annotated[
        int | None,
        typer.Option(min=32, max=16384, help="Longest side that the network sees, in pixels."),
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
        raise typer.BadParameter("an API key has printable ASCII characters alone")
    outcomes = _run(plan, server, query, jobs)
    if len(outcomes) < len(plan) or any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


async def segment_all(
    plan: Sequence[Job],
    server: Server,
    query: Query,
    *,
    parallel: int = 4,
    on_done: Callable[[Outcome], None] = lambda _outcome: None,
) -> list[Outcome]:
    """Every photo's outcome, in the order they came in; fewer where no server answers.

    At most `parallel` photos are in memory at a time.
    """
    waiting = iter(plan)
    outcomes: list[Outcome] = []

    async with open_session(server, parallel, query.timeout_ms) as session:

        async def work() -> None:
            nonlocal waiting
            while job := next(waiting, None):
                outcome = Outcome(job, await _segment_one(session, server.url, query, job))
                outcomes.append(outcome)
                on_done(outcome)
                if isinstance(outcome.error, ServerUnreachableError | AllRefusedError):
                    waiting = iter(())

        await asyncio.gather(*(work() for _ in range(min(parallel, len(plan)))))
    return outcomes


def _check_terminal(job: Job, output: OutputName) -> None:
    """Neither wait for a photo to be typed, nor show one as characters."""
    if job.source is None and (sys.stdin is None or sys.stdin.isatty()):
        raise typer.BadParameter("no photo comes in: redirect one to -, as in < photo.jpg")
    number = 1 if job.target is None else open_descriptor(job.target)
    if output in IMAGES and number is not None and os.isatty(number):
        raise typer.BadParameter("an image would garble the terminal: redirect it, or use -o FILE")


async def _segment_one(
    session: ClientSession, url: str, query: Query, job: Job
) -> Exception | None:
    """Read, send, write; returns what went wrong."""
    accept = "image/jpeg" if wants_jpeg(job) else ANYTHING
    try:
        photo = await _left_behind(lambda: read_photo(job))
        answer = await post_photo(session, url, photo, query, accept)
        if job.target is None or is_stream(job.target):
            await _left_behind(lambda: write_answer(job.target, answer))
        else:
            await asyncio.to_thread(write_answer, job.target, answer)
    except (OSError, PhotoFailedError, ServerUnreachableError) as error:
        return error
    return None


async def _left_behind(work: Callable[[], Made]) -> Made:
    """Run in a thread for which Ctrl-C does not wait: a stream may have nobody at its other end."""
    made: Future[Made] = Future()
    made.set_running_or_notify_cancel()

    def run() -> None:
        try:
            made.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised by whoever waits
            made.set_exception(error)

    Thread(target=run, daemon=True).start()
    return await asyncio.wrap_future(made)


def _run(plan: Sequence[Job], server: Server, query: Query, parallel: int) -> list[Outcome]:
    """Segment all photos, telling of failures as they come and, of several photos, the sum."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    several = len(plan) > 1
    with _progress(console, shown=several and console.is_terminal) as progress:
        task = progress.add_task("segmenting", total=len(plan))
        told: set[str] = set()

        outcomes: list[Outcome] = []

        def on_done(outcome: Outcome) -> None:
            outcomes.append(outcome)
            progress.advance(task)
            line = _line(outcome)
            if line and line not in told:
                told.add(line)
                console.print(line)

        work = segment_all(plan, server, query, parallel=parallel, on_done=on_done)
        try:
            asyncio.run(work)
        except KeyboardInterrupt:
            console.print("stopped")
            raise typer.Exit(INTERRUPTED) from None
        finally:
            if several:
                done = sum(outcome.error is None for outcome in outcomes)
                console.print(f"{done} of {len(plan)} photos segmented")
    return outcomes


def _progress(console: Console, *, shown: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    left = TimeRemainingColumn(), TextColumn("left")
    return Progress(*columns, *left, console=console, disable=not shown)


def _line(outcome: Outcome) -> str:
    """The failure in one line; empty for a success. What all photos would meet names none."""
    error = outcome.error
    if error is None:
        return ""
    if isinstance(error, ServerUnreachableError | AllRefusedError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or outcome.job}: {error.strerror}"
    return f"{outcome.job}: {error}"
