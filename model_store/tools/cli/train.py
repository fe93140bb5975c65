"""`fcnserve model train`."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from model_store.tools.cli.errors import errors_in_a_line

if TYPE_CHECKING:
    from model_store.tools.train.run import TrainingResult

RUN = "training"


def train(  # noqa: PLR0913 - one argument an option
    folder: Annotated[
        Path, typer.Argument(help="A model's folder, with its initial weights (`model new`).")
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
        typer.Option(min=1, help="Batches in all; unless given, about 40 epochs."),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Crops in a batch.")] = 8,
    crop: Annotated[int, typer.Option(min=32, help="Their sides: a multiple of 32.")] = 320,
    rate: Annotated[float, typer.Option(help="Learning rate of the score layers.")] = 3e-4,
    backbone_rate: Annotated[
        float, typer.Option(min=0, help="The backbone's learning rate, as a part of --rate.")
    ] = 0.2,
    stages: Annotated[
        Literal["at_once", "paper"],
        typer.Option(help="paper: first an FCN-32s, then 16s, then 8s, a third of the steps each."),
    ] = "at_once",
    balance: Annotated[
        float,
        typer.Option(min=0, max=1, help="Sampling of photos. 0: uniform; 1: classes alike."),
    ] = 0.5,
    paste: Annotated[
        float, typer.Option(min=0, max=1, help="Probability of copy-paste augmentation.")
    ] = 0.3,
    batch_norm: Annotated[
        Literal["frozen", "trained"], typer.Option(help="Its statistics: kept, or trained too.")
    ] = "frozen",
    freeze_early: Annotated[
        bool, typer.Option(help="Freeze layers up to stride 4: a fifth to a quarter faster.")
    ] = False,
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        typer.Option(help="auto: bf16 where device or processor compute in it."),
    ] = "auto",
    device: Annotated[str, typer.Option(help="cpu, cuda, or cuda:1.")] = "cpu",
    threads: Annotated[int, typer.Option(min=0, help="0: one a processor.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of all random draws.")] = 0,
    allow_absent: Annotated[
        bool, typer.Option("--allow-absent", help="Train although no mask has some class.")
    ] = False,
    validate_every: Annotated[
        int, typer.Option(min=1, help="Steps from one validation to the next.")
    ] = 500,
) -> None:
    """Train a model on photos and masks; Ctrl-C stops, and the same command resumes."""
    options = {name: value for name, value in locals().items() if name not in PATHS}
    # threads that spin at OpenMP's barriers take the processors from other work
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    with errors_in_a_line(*expected_errors()):
        run_training(folder, data, run or folder / RUN, options)


PATHS = {"folder", "data", "run"}


def expected_errors() -> tuple[type[Exception], ...]:
    from model_store.tools.convert.state_dict import CheckpointError
    from model_store.tools.dataset.errors import DataError
    from model_store.tools.evaluate.device import DeviceError
    from model_store.tools.train.checkpoint import ResumeError
    from model_store.tools.train.options import OptionsError

    return CheckpointError, DataError, DeviceError, OptionsError, ResumeError


def run_training(folder: Path, data: Path, run: Path, arguments: dict[str, object]) -> None:
    """Train until the steps are done or a signal arrives; put the best weights into `folder`."""
    from rich.console import Console

    from model_store.tools.archive.model_folder import checked_config
    from model_store.tools.cli.train_progress import progress_display
    from model_store.tools.train.data.split import split
    from model_store.tools.train.options import options_of
    from model_store.tools.train.run import Hooks, TrainingRun
    from model_store.tools.weights.initial import read_start

    config, photos = checked_config(folder), split(data)
    options = options_of(arguments, photos=len(photos.train))
    training = TrainingRun(config, photos, options, run)
    console = Console(highlight=False, soft_wrap=True)
    console.print(training.masks.describe())
    with progress_display(options.steps, console) as report, stop_signals() as signals:
        hooks = Hooks(lambda: read_start(str(folder), config), report, lambda: bool(signals))
        result = training.train(hooks)
    if result.step < options.steps:
        console.print(f"stopped after step {result.step}; the same command resumes there")
        raise typer.Exit(128 + signals[0])
    console.print(keep_best(folder / config.weights, run, result))


def keep_best(weights: Path, run: Path, result: "TrainingResult") -> str:
    """Put the run's best weights in the folder's place, if better; returns the message."""
    from model_store.tools.train.checkpoint import NO_SCORE
    from model_store.tools.train.validation import BEST, START
    from model_store.tools.weights.write import put_weights

    if not result.best > result.start:
        return (
            f"{weights} was left as it was: the best of {result.step} steps has a mean IoU of "
            f"{result.best:.3f} on the held-out photos, the initial weights {result.start:.3f}"
            f"; the trained weights are in {run / BEST}"
        )
    put_weights(run / BEST, weights)
    before = f", {result.start:.3f} before" if result.start > NO_SCORE else ""
    return (
        f"{weights} is the best of {result.step} steps: mean IoU {result.best:.3f} on the held-out "
        f"photos{before}; the initial weights are in {run / START}"
    )


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Give a list that receives the first SIGINT or SIGTERM; the second ends the process."""
    received: list[int] = []

    def on_signal(number: int, _frame: object) -> None:
        received.append(number)
        signal.signal(number, before[signal.Signals(number)])

    stops = signal.SIGINT, signal.SIGTERM
    before = {number: signal.signal(number, on_signal) for number in stops}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
