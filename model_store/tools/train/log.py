"""A run's log: one CSV row per so many steps, with what was learned and how fast."""

import csv
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from statistics import fmean
from typing import Self

from model_store.tools.train.schedule import Stage
from model_store.tools.train.validation import Look

LOG_FILE = "log.csv"


@dataclass(frozen=True, slots=True)
class Row:
    """The mean loss since the last row; scores where the validation photos were looked at."""

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
class Loss:
    """The losses since the last row."""

    _steps: list[float] = field(default_factory=list)

    def add(self, loss: float) -> None:
        self._steps.append(loss)

    def row(self, done: int, stage: Stage, rate: float, seconds: float, look: Look | None) -> Row:
        """Make a row of them, and begin anew; `seconds` are those since the last."""
        steps = self._steps
        self._steps = []
        scores = (look.pixel_accuracy, look.mean_iou, look.common_mean_iou) if look else ()
        return Row(done, f"{stage.stride}s", fmean(steps), rate, seconds / len(steps), *scores)


class Log:
    """Appends rows to a file."""

    def __init__(self, file: Path, step: int) -> None:
        """Of an interrupted run, drop what came after its checkpoint at `step`."""
        self._file = file
        self._columns = [column.name for column in fields(Row)]
        rows = [row for row in read(file) if int(row["step"]) <= step]
        with file.open("w", newline="") as target:
            writer = csv.DictWriter(target, self._columns)
            writer.writeheader()
            writer.writerows(rows)

    @classmethod
    def of(cls, run: Path, step: int) -> Self:
        return cls(run / LOG_FILE, step)

    def add(self, row: Row) -> None:
        with self._file.open("a", newline="") as target:
            csv.DictWriter(target, self._columns).writerow(row.cells())


def read(file: Path) -> list[dict[str, str]]:
    if not file.exists():
        return []
    with file.open(newline="") as source:
        return list(csv.DictReader(source))
