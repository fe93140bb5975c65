"""A run's log rows in, its display out: a bar with live loss and scores, or lines without terminal.

Called by `fcnserve model train`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from model_store.tools.train.log import LogRow

COLUMNS = "{task.description}", "{task.fields[figures]}"


@contextmanager
def progress_display(steps: int, console: Console) -> Iterator[Callable[[LogRow], None]]:
    """Give a function that shows each row of the log."""
    if not console.is_terminal:
        yield lambda row: console.print(line(row, steps))
        return
    columns = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("left")
    with Progress(TextColumn(COLUMNS[0]), *columns, TextColumn(COLUMNS[1]), console=console) as bar:
        task = bar.add_task("training", total=steps, figures="")

        def report(row: LogRow) -> None:
            if row.mean_iou is not None:
                bar.console.print(line(row, steps))
            bar.update(task, completed=row.step, figures=f"FCN-{row.stage}  loss {row.loss:.3f}")

        yield report


def line(row: LogRow, steps: int) -> str:
    scores = (
        ("pixel accuracy", row.pixel_accuracy),
        ("mean IoU", row.mean_iou),
        ("of the common classes", row.common_mean_iou),
    )
    shown = "".join(
        f", {name} {value:.3f}"
        for name, value in scores
        if value is not None and value == value  # noqa: PLR0124 - NaN where no class is common
    )
    return f"step {row.step} of {steps} (FCN-{row.stage}): loss {row.loss:.3f}{shown}"
