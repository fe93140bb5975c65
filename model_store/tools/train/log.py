"""Losses and validation scores in, a CSV file out, with one row per so many steps.

Called by `model_store.tools.train.run`.
"""

import csv
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from statistics import fmean
from typing import Self

from model_store.tools.train.schedule import TrainingStage
from model_store.tools.train.validation import ValidationScores

LOG_FILE = "log.csv"


@dataclass(frozen=True, slots=True)
class LogRow:
    """The mean loss since the last row; scores where the row's step was validated."""

    step: int
    stage: str
    loss: float
    rate: float
    seconds_per_step: float
    pixel_accuracy: float | None = None
    mean_iou: float | None = None
    common_mean_iou: float | None = None

    def cells(self) -> dict[str, object]:
        return {
            name: f"{value:.6g}" if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


@dataclass(slots=True)
class LossWindow:
    """The losses since the last row."""

    _losses: list[float] = field(default_factory=list)

    def add(self, loss: float) -> None:
        self._losses.append(loss)

    def row(
        self,
        done: int,
        stage: TrainingStage,
        rate: float,
        seconds: float,
        validated: ValidationScores | None,
    ) -> LogRow:
        """Make a row of the losses, and clear them; `seconds` is the time since the last row."""
        losses = self._losses
        self._losses = []
        scores = (
            (validated.pixel_accuracy, validated.mean_iou, validated.common_mean_iou)
            if validated
            else ()
        )
        return LogRow(done, f"{stage.stride}s", fmean(losses), rate, seconds / len(losses), *scores)


class Log:
    """Appends rows to a file."""

    def __init__(self, file: Path, step: int) -> None:
        """Drop the rows of an interrupted run that came after its checkpoint at `step`."""
        self._file = file
        self._columns = [column.name for column in fields(LogRow)]
        rows = [row for row in read(file) if int(row["step"]) <= step]
        with file.open("w", newline="") as target:
            writer = csv.DictWriter(target, self._columns)
            writer.writeheader()
            writer.writerows(rows)

    @classmethod
    def of(cls, run: Path, step: int) -> Self:
        return cls(run / LOG_FILE, step)

    def add(self, row: LogRow) -> None:
        with self._file.open("a", newline="") as target:
            csv.DictWriter(target, self._columns).writerow(row.cells())


def read(file: Path) -> list[dict[str, str]]:
    if not file.exists():
        return []
    with file.open(newline="") as source:
        return list(csv.DictReader(source))
