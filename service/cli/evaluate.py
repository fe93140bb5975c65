"""`fcnserve model evaluate`: scores a model's folder in this process, or a model of a server.

It is here, and not in `model_store.tools.cli`, since it sends requests as `fcnserve segment` does,
and `model_store` must not import `service`. Mounted by `service/cli/main.py`.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.client.server_url import (
    KEY_VARIABLE,
    PORT_VARIABLE,
    URL_HELP,
    URL_VARIABLE,
    BadUrlError,
)

if TYPE_CHECKING:
    from rich.console import Console

    from model_store.tools.dataset.held_out import Selection
    from model_store.tools.evaluate.report import Subject
    from service.cli.predictors import LoadPredictor


def evaluate(  # noqa: PLR0913 - one argument an option
    data: Annotated[
        Path, typer.Option(help="Photos in images/, masks in masks/, as for `model train`.")
    ],
    folder: Annotated[
        Path | None, typer.Argument(help="A model's folder; not with --server.")
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(
            "--list",
            help="Names, one a line; unless given, those that the training held out, "
            "DATA/val.txt, or all.",
        ),
    ] = None,
    server: Annotated[str | None, typer.Option("--server", "--url", help=URL_HELP)] = None,
    model: Annotated[str | None, typer.Option(help="Which of the server's models.")] = None,
    key: Annotated[
        str | None,
        typer.Option(envvar=KEY_VARIABLE, help="API key, where the server wants one."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Requests at a time.")] = 4,
    size: Annotated[
        list[int] | None,
        typer.Option(min=1, max=16, help="How many times to enlarge photos; may be repeated."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or cuda:1; of a folder.")] = "cpu",
    against: Annotated[
        Path | None, typer.Option(help="An earlier evaluation's folder: print the gain over it.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the report and its pictures.")
    ] = Path("evaluation"),
) -> None:
    """Score a model on photos with masks: IoU and accuracy, as the FCN paper defines them."""
    check_target(folder, server, model)
    with errors_in_a_line():
        from model_store.tools.dataset.held_out import select
        from service.cli.predictors import folder_predictor, server_predictor

        if against is not None:
            check_earlier(against)
        if folder is not None:
            subject, load = folder_predictor(folder, data, device)
        else:
            subject, load = server_predictor(server, key, model, data, jobs)
        score(subject, load, select(data, names, folder), size or [1], out)
        if against is not None:
            print_gain(against, out)


def check_target(folder: Path | None, server: str | None, model: str | None) -> None:
    """Raise BadParameter unless either a folder or a server is named."""
    server_named = server or model or any(map(os.environ.get, (URL_VARIABLE, PORT_VARIABLE)))
    if (folder is not None and (server or model)) or not (folder or server_named):
        raise typer.BadParameter(
            "name a model's folder, or a --server such as http://127.0.0.1:8000; not both"
        )


def check_earlier(against: Path) -> None:
    """Raise DataError for a folder without an evaluation, before any photo is scored."""
    from model_store.tools.evaluate.gain import read_earlier

    read_earlier(against)


def score(
    subject: "Subject",
    load: "LoadPredictor",
    selection: "Selection",
    sizes: Sequence[int],
    out: Path,
) -> None:
    """Read all masks, so that a wrong one is reported before any work; then score."""
    from rich.console import Console

    from model_store.tools.dataset.labelled import check_photos
    from model_store.tools.dataset.survey import survey
    from model_store.tools.evaluate.report import MARKDOWN_FILE
    from model_store.tools.evaluate.run import evaluate

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"scoring {selection.reason}")
    check_photos(selection.pairs)
    masks = survey(selection.pairs, subject.legend)
    console.print(masks.describe())
    subject = replace(subject, legend=masks.legend, selection=selection.reason)
    photo_done = progress(console, len(selection.pairs) * len(sizes))
    evaluate(selection.pairs, subject, load(), sizes, out, photo_done=photo_done)
    typer.echo((out / MARKDOWN_FILE).read_text())
    typer.echo(f"report, confusion matrix and contact sheet are in {out}")


def progress(console: "Console", steps: int) -> Callable[[], object]:
    """Give a function that advances a bar by one step; without a terminal there is no bar."""
    from rich.progress import track

    bar = iter(track(range(steps), "scoring", console=console, disable=not console.is_terminal))
    return lambda: next(bar, None)


def print_gain(earlier: Path, out: Path) -> None:
    """Print what was gained over an earlier evaluation, with its interval."""
    import numpy as np

    from model_store.tools.evaluate.gain import gain_over
    from model_store.tools.evaluate.report import COUNTS_FILE, FIGURES

    gain = gain_over(earlier, np.load(out / COUNTS_FILE)[0])
    typer.echo(f"over {gain.over}, on the same photos:")
    for name in ("pixel_accuracy", "mean_iou", "common_mean_iou"):
        figure = getattr(gain, name)
        text = f"{figure.value:+.3f} ({figure.low:+.3f} to {figure.high:+.3f})"
        typer.echo(f"{FIGURES[name]}: {'none' if isnan(figure.value) else text}")


@contextmanager
def errors_in_a_line() -> Iterator[None]:
    """Print the errors that an evaluation may meet as one line, and exit with 1."""
    from fcnserve_client.errors import FcnserveError
    from handlers.shared.errors import ProblemError
    from model_store.tools.cli.errors import errors_in_a_line
    from model_store.tools.dataset.errors import DataError
    from model_store.tools.evaluate.device import DeviceError
    from service.client.errors import describe
    from service.client.query import UnknownModelError

    of_server = BadUrlError, UnknownModelError
    with errors_in_a_line(DataError, DeviceError, ProblemError, *of_server):
        try:
            yield
        except FcnserveError as error:
            typer.echo(describe(error), err=True)
            raise typer.Exit(1) from error
