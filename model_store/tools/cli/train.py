"""`fcnserve model train`."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from model_store.tools.cli.errors import told_in_a_line

RUN = "training"


def train(  # noqa: PLR0913 - one argument an option
    folder: Annotated[
        Path, typer.Argument(help="A model's folder, with the weights to begin with (`model new`).")
    ],
    data: Annotated[
        Path,
        typer.Option(
            help="Photos in images/, masks in masks/ (PNG: class numbers, 255 void; of two classes "
            "black and white, too); train.txt and val.txt list names, or every tenth is held out."
        ),
    ],
    run: Annotated[
        Path | None,
        typer.Option(help="Log, checkpoint, best weights; FOLDER/training unless given."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Batches in all; unless given, each photo 40 times, or so."),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Crops in a batch.")] = 8,
    crop: Annotated[int, typer.Option(min=32, help="Their sides: a multiple of 32.")] = 320,
    rate: Annotated[float, typer.Option(help="Learning rate of the score layers.")] = 3e-4,
    backbone_rate: Annotated[
        float, typer.Option(min=0, help="What part of it the backbone gets.")
    ] = 0.2,
    stages: Annotated[
        Literal["at_once", "paper"],
        typer.Option(help="paper: first an FCN-32s, then 16s, then 8s, a third of the steps each."),
    ] = "at_once",
    balance: Annotated[
        float, typer.Option(min=0, max=1, help="0: photos as they come; 1: classes alike.")
    ] = 0.5,
    paste: Annotated[
        float, typer.Option(min=0, max=1, help="How often objects of other photos are pasted in.")
    ] = 0.3,
    batch_norm: Annotated[
        Literal["frozen", "trained"], typer.Option(help="Keep its statistics, or learn them too.")
    ] = "frozen",
    freeze_early: Annotated[
        bool, typer.Option(help="Layers up to stride 4 learn no more: a fifth to a quarter faster.")
    ] = False,
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        typer.Option(help="auto: bf16 where device or processor compute in it."),
    ] = "auto",
    device: Annotated[str, typer.Option(help="cpu, cuda, or cuda:1.")] = "cpu",
    threads: Annotated[int, typer.Option(min=0, help="0: one a processor.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn.")] = 0,
    allow_absent: Annotated[
        bool, typer.Option("--allow-absent", help="Train although no mask has some class.")
    ] = False,
    validate_every: Annotated[
        int, typer.Option(min=1, help="Steps from one look at the held out photos to the next.")
    ] = 500,
) -> None:
    """Train a model on photos and masks; Ctrl-C stops, and the same command goes on."""
    options = {name: value for name, value in locals().items() if name not in PLACES}
    # threads that spin at OpenMP's barriers take the processors from all else
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    with told_in_a_line(*refusals()):
        learn(folder, data, run or folder / RUN, options)


PLACES = {"folder", "data", "run"}


def refusals() -> tuple[type[Exception], ...]:
    from model_store.tools.convert.state_dict import CheckpointError
    from model_store.tools.dataset.labelled import DataError
    from model_store.tools.train.checkpoint import ResumeError
    from model_store.tools.train.options import OptionsError

    return CheckpointError, DataError, OptionsError, ResumeError


def learn(folder: Path, data: Path, run: Path, choices: dict[str, object]) -> None:
    from rich.console import Console

    from model_store.tools.archive.package import checked_config
    from model_store.tools.train.checkpoint import NONE_YET
    from model_store.tools.train.data.split import split
    from model_store.tools.train.folder import put_weights
    from model_store.tools.train.options import options_of
    from model_store.tools.train.progress import shown
    from model_store.tools.train.session import Hooks, Session
    from model_store.tools.train.start import read_start
    from model_store.tools.train.validation import BEST, START

    config, photos = checked_config(folder), split(data)
    options = options_of(choices, photos=len(photos.train))
    session = Session(config, photos, options, run)
    console = Console(highlight=False, soft_wrap=True)
    console.print(session.masks.describe())
    with shown(options.steps, console) as report, stopped_by_signals() as signals:
        hooks = Hooks(lambda: read_start(str(folder), config), report, lambda: bool(signals))
        outcome = session.train(hooks)
    if outcome.step < options.steps:
        console.print(f"stopped after step {outcome.step}; the same command goes on from there")
        raise typer.Exit(128 + signals[0])
    weights = folder / config.weights
    if not outcome.best > outcome.start:
        console.print(
            f"{weights} was left as it was: the best of {outcome.step} steps has a mean IoU of "
            f"{outcome.best:.3f} on the photos held out, and what was there had {outcome.start:.3f}"
            f"; the trained weights are in {run / BEST}"
        )
        return
    put_weights(run / BEST, folder, config)
    before = f", {outcome.start:.3f} before" if outcome.start > NONE_YET else ""
    console.print(
        f"{weights} is the best of {outcome.step} steps: mean IoU {outcome.best:.3f} on the photos "
        f"held out{before}; what was there is in {run / START}"
    )


@contextmanager
def stopped_by_signals() -> Iterator[list[int]]:
    """Give a list that the first SIGINT or SIGTERM is put on; the second ends the process."""
    came: list[int] = []

    def note(number: int, _frame: object) -> None:
        came.append(number)
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
