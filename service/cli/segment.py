"""`fcnserve segment`: sends photos to a running server, several at a time, and writes the answers.

In: the command line. Out: files or a stream; one line on standard error for each photo that
failed; an exit status (`service.cli.segment_run`). `service/cli/main.py` mounts `segment`.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from service.client.dataset_plan import DatasetOptions, FormatName, plan_dataset
from service.client.files import STREAM, OutputName, Plan, plan_jobs
from service.client.naming import BadNamesError
from service.client.query import Query, Server
from service.client.server_url import KEY_VARIABLE, URL_HELP, URL_VARIABLE, BadUrlError, server_url
from service.client.write import open_descriptor

IMAGES: frozenset[OutputName] = frozenset({"mask", "labels", "overlay", "confidence"})
"""Outputs that are no text, and not for a terminal."""


def segment(  # noqa: PLR0913  (one argument an option)
    photos: Annotated[
        list[str],
        typer.Argument(
            metavar="PHOTO", help="Photos, and folders of photos; - reads standard input."
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out", "-o", help="A file, or a folder (masks/); - writes to standard output."
        ),
    ],
    url: Annotated[str | None, typer.Option(envvar=URL_VARIABLE, help=URL_HELP)] = None,
    output: Annotated[
        OutputName | None, typer.Option(help="What to make of each photo.", show_default="mask")
    ] = None,
    dataset_format: Annotated[
        FormatName | None,
        typer.Option("--format", help="Make one dataset of all photos instead, in the folder OUT."),
    ] = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Make less probable pixels void; with --format."),
    ] = None,
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
    resume: Annotated[
        bool, typer.Option("--resume", help="Skip photos whose answers OUT, a folder, has already.")
    ] = False,
    jsonl: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Results: a line of JSON a photo; - is standard output."),
    ] = None,
) -> None:
    """Segment PHOTOs with a running server and write masks or other outputs to OUT."""
    dataset = _dataset(dataset_format, min_confidence)
    if dataset and (output or legend or alpha is not None):
        raise typer.BadParameter("--output, --alpha and --legend do not go with --format")
    output = dataset.output if dataset else output or "mask"
    try:
        plan = plan_dataset(photos, out, dataset) if dataset else plan_jobs(photos, out, output)
        server = Server(server_url(url), key)
    except (BadNamesError, BadUrlError) as error:
        raise typer.BadParameter(str(error)) from error
    _check_terminal(plan, output)
    _check_options(plan, resume=resume, key=key, jsonl=jsonl)
    query = Query(
        output, classes, min_area, alpha, orientation, max_side, model, timeout_ms, legend or None
    )
    from service.cli.segment_run import Options, run

    options = Options(jobs, resume=resume, jsonl=jsonl, dataset=dataset)
    raise typer.Exit(run(plan, server, query, options))


def _dataset(name: FormatName | None, min_confidence: float | None) -> DatasetOptions | None:
    """Return which dataset is to be written; raises BadParameter."""
    if name is not None:
        return DatasetOptions(name, min_confidence or 0.0)
    if min_confidence is not None:
        raise typer.BadParameter("--min-confidence makes pixels of a dataset void: give --format")
    return None


def _check_terminal(plan: Plan, output: OutputName) -> None:
    """Raise BadParameter where a terminal is the input of a photo, or the output of an image."""
    job = plan.jobs[0]
    if job.source is None and (sys.stdin is None or sys.stdin.isatty()):
        raise typer.BadParameter(
            "no photo on standard input: redirect one to it, as in < photo.jpg"
        )
    number = 1 if job.target is None else open_descriptor(Path(job.target))
    if output in IMAGES and number is not None and os.isatty(number):
        raise typer.BadParameter("an image would garble the terminal: redirect it, or use -o FILE")


def _check_options(plan: Plan, *, resume: bool, key: str | None, jsonl: str | None) -> None:
    """Raise BadParameter for options that do not fit together, and an impossible key."""
    if key is not None and not (key.isascii() and key.isprintable()):
        raise typer.BadParameter("an API key has printable ASCII characters only")
    if resume and plan.folder is None:
        raise typer.BadParameter("--resume needs a folder, which records its answers: -o masks/")
    if jsonl == STREAM and plan.jobs[0].target is None:
        raise typer.BadParameter("standard output has the answer already: name a file for --jsonl")
