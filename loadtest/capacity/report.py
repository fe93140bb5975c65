"""A load test as managers and engineers read it: one sentence, then tables and plots, then all of
it as data.

Called by `loadtest.capacity.run`. Writes `loadtest-SHAPE` as `.md`, `.html`, `.json`, `.csv` and
`.png`.
"""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from loadtest.benchmark.report import plain
from loadtest.capacity.conclusion import Drive, verdict
from loadtest.capacity.figures import Figures
from loadtest.capacity.html_page import write_html
from loadtest.capacity.knee import find_knee
from loadtest.capacity.plots import save_plots
from loadtest.measure.machine import hardware, revision, versions

HEADS: Mapping[str, Callable[[Figures], float | None]] = {
    "due/s": lambda f: f.offered,
    "answered/s": lambda f: f.answered,
    "masks/s": lambda f: f.masks,
    "p50, ms": lambda f: f.ms["p50"],
    "p95, ms": lambda f: f.ms["p95"],
    "p99, ms": lambda f: f.ms["p99"],
    "errors, %": lambda f: 100 * f.error_share,
    "client late p99, ms": lambda f: f.late_p99_ms,
    "images a batch": lambda f: f.meanwhile.batch_images,
    "fill, %": lambda f: None if f.meanwhile.fill is None else 100 * f.meanwhile.fill,
    "cores in use": lambda f: f.meanwhile.machine_cpu,
    "of them others'": lambda f: f.meanwhile.others_cpu,
}


def save(drive: Drive, folder: Path) -> str:
    """Write all files; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"loadtest-{drive.shape}"
    steps = drive.ran.figures()
    seen = "hardware of the client" if drive.host else "hardware"
    about = {seen: hardware(), "versions": versions(("locust",)), "revision": revision()}
    knee = find_knee(steps, drive.limit_ms) if drive.shape == "steps" else None
    page = markdown(drive, steps, knee, about, stem.with_suffix(".png").name)
    save_plots(drive.shape, drive.ran, steps, knee, stem.with_suffix(".png"))
    stem.with_suffix(".md").write_text(page)
    write_html(page, stem.with_suffix(".html"))
    stem.with_suffix(".json").write_text(json.dumps(data(drive, steps, about), indent=1) + "\n")
    with stem.with_suffix(".csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(table(steps))
    return page


def markdown(
    drive: Drive,
    steps: Sequence[Figures],
    knee: Figures | None,
    about: Mapping[str, object],
    picture: str,
) -> str:
    parts = [
        f"# Load test: {drive.shape}",
        verdict(drive, steps, knee),
        f"![Plots of this run]({picture})",
        "## Step by step" if len(steps) > 1 else "## The run",
        as_table(table(steps)),
        "## Latency by stage, ms (mean)",
        as_table(by_name(steps, lambda f: f.stages_ms)),
        "## CPU by process, cores",
        as_table(by_name(steps, lambda f: f.meanwhile.cpu)),
        "## Memory by process at the end, MB",
        as_table(by_name(steps, lambda f: f.meanwhile.resident_mb)),
        "## Errors by reason",
        as_table(by_name(steps, lambda f: f.errors)),
        "## How it was measured",
        facts(drive, about),
        NOTES,
    ]
    return "\n\n".join(parts) + "\n"


def table(steps: Sequence[Figures]) -> list[list[str]]:
    rows = [[cell(figure(step)) for figure in HEADS.values()] for step in steps]
    return [list(HEADS), *rows]


def by_name(
    steps: Sequence[Figures], field: Callable[[Figures], Mapping[str, float]]
) -> list[list[str]]:
    """Steps down, names across."""
    found = [field(step) for step in steps]
    names = list(dict.fromkeys(name for each in found for name in each))
    rows = [
        [cell(step.offered), *(cell(each.get(name, 0)) for name in names)]
        for step, each in zip(steps, found, strict=True)
    ]
    return [["due/s", *names], *rows] if names else [["none"]]


def as_table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    ruler = ["---:"] * len(head)
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ruler, *body])


def cell(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def facts(drive: Drive, about: Mapping[str, object]) -> str:
    traffic = drive.ran.traffic
    told = {
        "shape": f"{drive.shape}, {drive.ran.seconds:.0f} s; 1 is {drive.capacity:.1f} requests/s",
        "loop": traffic.loop,
        "mix": "plain masks alone" if traffic.masks_only else "all of loadtest/traffic/requests.py",
        "borne": f"95 % answered meanwhile, errors below 0.1 %, p99 below {drive.limit_ms:g} ms",
        "settings": drive.settings,
        **about,
    }
    return "\n".join(f"- {name}: {plain(value)}" for name, value in told.items())


def data(drive: Drive, steps: Sequence[Figures], about: Mapping[str, object]) -> dict[str, object]:
    return {
        **about,
        "shape": drive.shape,
        "capacity": drive.capacity,
        "clients": drive.clients,
        "limit_ms": drive.limit_ms,
        "settings": dict(drive.settings),
        "full": asdict(drive.full) if drive.full else None,
        "steps": [asdict(step) for step in steps],
        "second_by_second": drive.ran.series(),
    }


NOTES = """\
Requests are due at random moments, so many a second, whatever becomes of those before (an open
loop). Their time counts from when they were due, so that what waits in the client counts too
(`client late` says how much that is). Each answer was checked: media type, size, palette, and all
its bytes against the answer that the same request had alone, before the load. Client and service
share the machine, unless `--host` said otherwise; the first fifth of each step is left out. How to
read this, to repeat it, and to have the capacity confirmed by other generators, is in
[loadtest/README.md](../README.md).
"""
