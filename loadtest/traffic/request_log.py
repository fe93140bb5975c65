"""The request log: one CSV row per request, written by Locust's process and read by the report.

Locust's own statistics cannot be split at the start of a load stage and do not hold the time at
which a request was due; these rows can and do. Written by `loadtest.locustfile`, read by
`loadtest.capacity.locust_run`.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

CORRECT, REFUSED = "correct", "429"
COLUMNS = ("due", "late_ms", "ms", "name", "outcome", "images", "stages")
BEGIN = "begin"  # outcome of the row that holds the start of the first load stage


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """`due` is the time at which it should have been sent (seconds since the epoch); `ms` counts
    from there.
    """

    due: float
    late_ms: float
    ms: float
    name: str
    outcome: str  # CORRECT, REFUSED and a code, or the reason of the failure
    images: int
    stages_ms: Mapping[str, float]


class RequestLogWriter:
    """Appends rows to a file."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("w", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(COLUMNS)

    def begin(self, now: float) -> None:
        """Write when the first load stage began."""
        self._writer.writerow([f"{now:.4f}", 0, 0, "", BEGIN, 0, ""])

    def add(self, row: LoggedRequest) -> None:
        stages = " ".join(f"{verb}={ms:.2f}" for verb, ms in row.stages_ms.items())
        times = (f"{row.due:.4f}", f"{row.late_ms:.2f}", f"{row.ms:.2f}")
        self._writer.writerow([*times, row.name, row.outcome, row.images, stages])

    def close(self) -> None:
        self._file.close()


def read_request_log(path: Path) -> tuple[float, list[LoggedRequest]]:
    """Return the time at which the first load stage began, and all requests."""
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    (begun,) = (float(line["due"]) for line in lines if line["outcome"] == BEGIN)
    return begun, [read_row(line) for line in lines if line["outcome"] != BEGIN]


def read_row(line: Mapping[str, str]) -> LoggedRequest:
    return LoggedRequest(
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
