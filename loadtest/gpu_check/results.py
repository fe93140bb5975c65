"""What stages find: items out of a stage's process, and two files into the folder of results.

A stage yields `Fact`, `Row` and `Check`; each travels as a line of JSON, and `Results` writes both
files after each of them: what was found before a stage hangs, or the machine is taken, is kept.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from loadtest.gpu_check.catalogue import STAGES
from loadtest.report.markdown import plain, table

STEM = "gpu-check"
SHOWN_LOG_LINES = 12

Cell = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and a value."""

    name: str
    value: Cell


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table; all rows of a table have the same columns."""

    table: str
    cells: Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class Check:
    """A claim and whether it holds; of answers, which must, or of speed, which is only aimed at."""

    claim: str
    holds: bool
    seen: str
    of_speed: bool = False


Item = Fact | Row | Check
KINDS: Mapping[str, type[Item]] = {kind.__name__: kind for kind in (Fact, Row, Check)}


def to_line(item: Item) -> str:
    """Write one line of JSON."""
    return json.dumps({"kind": type(item).__name__} | asdict(item)) + "\n"


def from_line(line: str) -> Item | None:
    """Read a stage's line; None for what a process that was killed has not finished."""
    try:
        fields = json.loads(line)
        return KINDS[fields.pop("kind")](**fields)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


@dataclass(slots=True)
class StageResult:
    """How a stage went, and what it found."""

    state: str = "not reached"
    seconds: float = 0.0
    items: list[Item] = field(default_factory=list)
    log_end: str = ""

    @property
    def is_good(self) -> bool:
        """Whether it ended by itself, and each check of answers holds."""
        checks = [item for item in self.items if isinstance(item, Check) and not item.of_speed]
        return self.state == "ended" and all(check.holds for check in checks)


class Results:
    """The results of a run in its folder: STEM.json for programs, STEM.md to read."""

    def __init__(self, folder: Path, names: list[str], command: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._command = command
        self._started = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        self._writing = Lock()
        self.stages = {name: StageResult() for name in names}
        self.write()

    @property
    def log(self) -> Path:
        """The file of all stages' standard error."""
        return self._folder / f"{STEM}.log"

    def add(self, name: str, item: Item) -> None:
        """Add an item of a stage, and write."""
        with self._writing:
            self.stages[name].items.append(item)
        self.write()

    def write(self) -> None:
        """Write both files anew; a reader never sees half a file."""
        with self._writing:
            stages = {name: fields(one) for name, one in self.stages.items()}
            data = {"command": self._command, "started": self._started, "stages": stages}
            self._replace("json", json.dumps(data, indent=1))
            self._replace("md", page(f"`{self._command}`, {self._started}", self.stages))

    def _replace(self, suffix: str, text: str) -> None:
        part = self._folder / f"{STEM}.part"
        part.write_text(text + "\n")
        part.replace(self._folder / f"{STEM}.{suffix}")


def fields(result: StageResult) -> dict[str, object]:
    return asdict(result) | {"items": [json.loads(to_line(item)) for item in result.items]}


def page(origin: str, stages: Mapping[str, StageResult]) -> str:
    """Write the page: checks that do not hold, states of all stages, then stage by stage."""
    states = [(name, one.state, f"{one.seconds:.0f}", counted(one)) for name, one in stages.items()]
    failed = [
        f"- {name}: {item.claim}; seen: {item.seen}"
        for name, one in stages.items()
        for item in one.items
        if isinstance(item, Check) and not item.holds
    ]
    parts = [
        f"# GPU check\n\n{origin}; docs/gpu.md says how to read this page.",
        "\n".join(["What does not hold:\n", *failed]) if failed else "",
        table(states, ("stage", "state", "seconds", "checks"), ("stage", "state")),
        *(section(name, one) for name, one in stages.items() if one.items or one.log_end),
    ]
    return "\n\n".join(filter(None, parts))


def counted(result: StageResult) -> str:
    checks = [item.holds for item in result.items if isinstance(item, Check)]
    return f"{sum(checks)} of {len(checks)} hold" if checks else "-"


def section(name: str, result: StageResult) -> str:
    """Write what a stage found; its log too, where it did not end by itself."""
    facts = [
        f"- {item.name}: {plain(item.value)}" for item in result.items if isinstance(item, Fact)
    ]
    checks = [
        f"- {'holds' if item.holds else 'DOES NOT HOLD'}: {item.claim}; seen: {item.seen}"
        for item in result.items
        if isinstance(item, Check)
    ]
    rows = [item for item in result.items if isinstance(item, Row)]
    tables = [
        f"### {title}\n\n{table_of([row for row in rows if row.table == title])}"
        for title in dict.fromkeys(row.table for row in rows)
    ]
    log = f"```\n{result.log_end}\n```" if result.log_end else ""
    parts = [
        f"## {STAGES[name].title} (`{name}`)",
        "\n".join(checks),
        "\n".join(facts),
        *tables,
        log,
    ]
    return "\n\n".join(filter(None, parts))


def table_of(rows: list[Row]) -> str:
    headings = list(dict.fromkeys(name for row in rows for name in row.cells))
    return table([[plain_cell(row.cells.get(name)) for name in headings] for row in rows], headings)


def plain_cell(value: Cell) -> str:
    if value is None:
        return "-"
    text = ("yes" if value else "no") if isinstance(value, bool) else plain(value)
    return text.replace("|", "/")
