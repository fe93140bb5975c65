"""`fcnserve model evaluate`: scores a model's folder in this process, or whatever a server serves.

Here, and not beside the other model commands, since it asks servers as `fcnserve segment` does.
"""

import os
from collections.abc import Callable, Iterator
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
    server_url,
)

if TYPE_CHECKING:
    from model_store.tools.dataset.held_out import Chosen
    from model_store.tools.evaluate.predict import Predictor
    from model_store.tools.evaluate.report import Subject

    Load = Callable[[], Predictor]


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
        Path | None, typer.Option(help="An earlier evaluation's folder: what is gained over it.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the report and its pictures.")
    ] = Path("evaluation"),
) -> None:
    """Score a model on photos with masks: IoU and accuracy, as the FCN paper defines them."""
    asked = server or model or any(map(os.environ.get, (URL_VARIABLE, PORT_VARIABLE)))
    if (folder is not None and (server or model)) or not (folder or asked):
        raise typer.BadParameter(
            "name a model's folder, or a --server such as http://127.0.0.1:8000; not both"
        )
    with told_in_a_line():
        from model_store.tools.dataset.held_out import choose

        if against is not None:
            check_earlier(against)
        if folder is not None:
            subject, load = in_folder(folder, data, device)
        else:
            subject, load = behind(server, key, model, data, jobs)
        judge(subject, load, choose(data, names, folder), size or [1], out)
        if against is not None:
            compare(against, out)


def check_earlier(against: Path) -> None:
    """Raise DataError for a folder that is no evaluation's, before any work is done."""
    from model_store.tools.evaluate.gain import read_earlier

    read_earlier(against)


def in_folder(folder: Path, data: Path, device: str) -> "tuple[Subject, Load]":
    from model_store.tools.archive.package import checked_config
    from model_store.tools.dataset.labelled import Legend
    from model_store.tools.evaluate.predict import device_of, in_process
    from model_store.tools.evaluate.report import Subject
    from model_store.tools.train.options import check_device

    check_device(device)
    config = checked_config(folder)
    numerics = device_of(device, config.precision).numerics()
    subject = Subject(Legend.of(config), config.version, numerics, data.name)
    return subject, lambda: in_process(folder, device)


def behind(
    url: str | None, key: str | None, model: str | None, data: Path, jobs: int
) -> "tuple[Subject, Load]":
    from model_store.tools.dataset.labelled import Legend
    from model_store.tools.evaluate.report import Subject
    from service.client.http import Server
    from service.client.remote_predictor import read_card, through_server

    server = Server(server_url(url), key)
    card = read_card(server, model)
    palette = tuple((red, green, blue) for red, green, blue in card["palette"])
    background = card.get("background_id")
    legend = Legend(card["name"], tuple(card["classes"]), palette, background=background)
    subject = Subject(legend, f"{card['version']} ({card['digest']})", server.url, data.name)
    return subject, lambda: through_server(server, model, jobs)


def judge(subject: "Subject", load: "Load", chosen: "Chosen", sizes: list[int], out: Path) -> None:
    """Read all masks, then score: what is wrong with one is told before anything is done."""
    from rich.console import Console
    from rich.progress import track

    from model_store.tools.dataset.labelled import check_photos
    from model_store.tools.dataset.survey import survey
    from model_store.tools.evaluate.report import MARKDOWN_FILE
    from model_store.tools.evaluate.run import evaluate

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"scoring {chosen.why}")
    check_photos(chosen.pairs)
    masks = survey(chosen.pairs, subject.legend)
    console.print(masks.describe())
    subject = replace(subject, legend=masks.legend, chosen=chosen.why)
    steps = iter(
        track(
            range(len(chosen.pairs) * len(sizes)),
            "scoring",
            console=console,
            disable=not console.is_terminal,
        )
    )
    evaluate(chosen.pairs, subject, load(), sizes, out, photo_done=lambda: next(steps, None))
    typer.echo((out / MARKDOWN_FILE).read_text())
    typer.echo(f"report, confusion matrix and contact sheet are in {out}")


def compare(earlier: Path, out: Path) -> None:
    """Tell what was gained, with its interval."""
    import numpy as np

    from model_store.tools.evaluate.gain import gain_over
    from model_store.tools.evaluate.report import COUNTS_FILE, FIGURES

    gain = gain_over(earlier, np.load(out / COUNTS_FILE)[0])
    typer.echo(f"over {gain.over}, on the same photos:")
    for name in ("pixel_accuracy", "mean_iou", "common_mean_iou"):
        figure = getattr(gain, name)
        known = f"{figure.value:+.3f} ({figure.low:+.3f} to {figure.high:+.3f})"
        typer.echo(f"{FIGURES[name]}: {'none' if isnan(figure.value) else known}")


@contextmanager
def told_in_a_line() -> Iterator[None]:
    from handlers.runtime.network import WeightsError
    from handlers.shared.errors import ProblemError
    from model_store.tools.cli.errors import told_in_a_line
    from model_store.tools.dataset.labelled import DataError
    from model_store.tools.train.options import OptionsError
    from service.client.http import PhotoFailedError, ServerUnreachableError

    of_data = DataError, OptionsError, ProblemError, WeightsError
    with told_in_a_line(*of_data, BadUrlError, PhotoFailedError, ServerUnreachableError):
        yield
