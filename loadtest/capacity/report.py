"""The report of a load test: conclusion, tables, plots, and all figures as data.

Called by `loadtest.capacity.run`. Writes `loadtest-SHAPE` as `.md`, `.html`, `.json`, `.csv` and
`.png`.
"""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from loadtest.capacity.conclusion import LoadTest, conclusion
from loadtest.capacity.figures import StageFigures
from loadtest.capacity.html_page import write_html
from loadtest.capacity.knee import find_knee
from loadtest.capacity.plots import save_plots
from loadtest.report.machine import environment_facts
from loadtest.report.markdown import cell, fact_list
from loadtest.report.result_files import write_result

COLUMNS: Mapping[str, Callable[[StageFigures], float | None]] = {
    "due/s": lambda f: f.offered,
    "answered/s": lambda f: f.answered,
    "masks/s": lambda f: f.masks,
    "p50, ms": lambda f: f.ms["p50"],
    "p95, ms": lambda f: f.ms["p95"],
    "p99, ms": lambda f: f.ms["p99"],
    "errors, %": lambda f: 100 * f.error_share,
    "client late p99, ms": lambda f: f.late_p99_ms,
    "images a batch": lambda f: f.usage.batch_images,
    "fill, %": lambda f: None if f.usage.fill is None else 100 * f.usage.fill,
    "cores in use": lambda f: f.usage.machine_cpu,
    "of them by other programs": lambda f: f.usage.other_programs_cpu,
}


def save(test: LoadTest, folder: Path) -> str:
    """Write all files; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"loadtest-{test.shape}"
    steps = test.run.figures()
    facts = environment_facts(("locust",))
    if test.host:
        facts = {"hardware of the client": facts.pop("hardware"), **facts}
    knee = find_knee(steps, test.limit_ms) if test.shape == "steps" else None
    page = markdown(test, steps, knee, facts, stem.with_suffix(".png").name)
    save_plots(test.shape, test.run, steps, knee, stem.with_suffix(".png"))
    write_result(stem, page, data(test, steps, facts))
    write_html(page, stem.with_suffix(".html"))
    with stem.with_suffix(".csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows_of(steps))
    return page


def markdown(
    test: LoadTest,
    steps: Sequence[StageFigures],
    knee: StageFigures | None,
    facts: Mapping[str, object],
    picture: str,
) -> str:
    parts = [
        f"# Load test: {test.shape}",
        conclusion(test, steps, knee),
        f"![Plots of this run]({picture})",
        "## Step by step" if len(steps) > 1 else "## The run",
        as_table(rows_of(steps)),
        "## Latency by stage, ms (mean)",
        as_table(by_name(steps, lambda f: f.stages_ms)),
        "## CPU by process, cores",
        as_table(by_name(steps, lambda f: f.usage.cpu)),
        "## Memory by process at the end, MB",
        as_table(by_name(steps, lambda f: f.usage.resident_mb)),
        "## Errors by reason",
        as_table(by_name(steps, lambda f: f.errors)),
        "## How it was measured",
        fact_list({**options_of(test), **facts}),
        NOTES,
    ]
    return "\n\n".join(parts) + "\n"


def rows_of(steps: Sequence[StageFigures]) -> list[list[str]]:
    rows = [[cell(figure(step)) for figure in COLUMNS.values()] for step in steps]
    return [list(COLUMNS), *rows]


def by_name(
    steps: Sequence[StageFigures], field: Callable[[StageFigures], Mapping[str, float]]
) -> list[list[str]]:
    """Return a row per step and a column per name."""
    found = [field(step) for step in steps]
    names = list(dict.fromkeys(name for each in found for name in each))
    rows = [
        [cell(step.offered), *(cell(each.get(name, 0)) for name in names)]
        for step, each in zip(steps, found, strict=True)
    ]
    return [["due/s", *names], *rows] if names else [["none"]]


def as_table(rows: Sequence[Sequence[str]]) -> str:
    """Write a compact table whose first row is the heading."""
    heading, *body = rows
    rule = ["---:"] * len(heading)
    return "\n".join(f"| {' | '.join(row)} |" for row in [heading, rule, *body])


def options_of(test: LoadTest) -> dict[str, object]:
    traffic = test.run.traffic
    return {
        "shape": f"{test.shape}, {test.run.seconds:.0f} s; 1 is {test.capacity:.1f} requests/s",
        "loop": traffic.loop,
        "mix": "plain masks alone" if traffic.masks_only else "all of loadtest/traffic/requests.py",
        "sustained": f"95 % answered in time, errors below 0.1 %, p99 below {test.limit_ms:g} ms",
        "settings": test.settings,
    }


def data(
    test: LoadTest, steps: Sequence[StageFigures], facts: Mapping[str, object]
) -> dict[str, object]:
    return {
        **facts,
        "shape": test.shape,
        "capacity": test.capacity,
        "clients": test.clients,
        "limit_ms": test.limit_ms,
        "settings": dict(test.settings),
        "full": asdict(test.full) if test.full else None,
        "steps": [asdict(step) for step in steps],
        "second_by_second": test.run.series(),
    }


NOTES = """\
Requests are due at random moments, at a fixed rate, independent of earlier answers (an open loop).
Their time counts from when they were due, so that waiting in the client counts too (`client late`
is that part). Each answer was checked: media type, size, palette, and all its bytes against the
reference answer, the answer to the same request before the load. Client and service share the
machine, unless `--host` named another; the first fifth of each step is left out. How to read this,
to repeat it, and to have the capacity confirmed by other generators, is in
[loadtest/README.md](../README.md).
"""
