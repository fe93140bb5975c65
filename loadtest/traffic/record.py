"""One row a request, as Locust's process writes them and the report reads them.

Locust's own statistics cannot be cut where a stage begins, nor do they know when a request was due;
these rows can and do.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

RIGHT, REFUSED = "right", "429"
COLUMNS = ("due", "late_ms", "ms", "name", "outcome", "images", "stages")


@dataclass(frozen=True, slots=True)
class Row:
    """`due` is when it should have been sent (seconds since the epoch), `ms` counts from there."""

    due: float
    late_ms: float
    ms: float
    name: str
    outcome: str  # RIGHT, REFUSED, or the reason why it failed
    images: int
    stages_ms: Mapping[str, float]


class Recorder:
    """Appends rows to a file."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("w", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(COLUMNS)

    def begin(self, now: float) -> None:
        """Note when the first stage began."""
        self._writer.writerow([f"{now:.4f}", 0, 0, "", "begin", 0, ""])

    def add(self, row: Row) -> None:
        stages = " ".join(f"{verb}={ms:.2f}" for verb, ms in row.stages_ms.items())
        times = (f"{row.due:.4f}", f"{row.late_ms:.2f}", f"{row.ms:.2f}")
        self._writer.writerow([*times, row.name, row.outcome, row.images, stages])

    def close(self) -> None:
        self._file.close()


def read_rows(path: Path) -> tuple[float, list[Row]]:
    """Read when the first stage began, and all requests."""
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    (begun,) = (float(line["due"]) for line in lines if line["outcome"] == "begin")
    return begun, [read_row(line) for line in lines if line["outcome"] != "begin"]


def read_row(line: Mapping[str, str]) -> Row:
    return Row(
        due=float(line["due"]),
        late_ms=float(line["late_ms"]),
        ms=float(line["ms"]),
        name=line["name"],
        outcome=line["outcome"],
        images=int(line["images"]),
        stages_ms=dict(read_stages(line["stages"])),
    )


def read_stages(text: str) -> Iterator[tuple[str, float]]:
    for pair in text.split():
        verb, _, ms = pair.partition("=")
        yield verb, float(ms)
