"""Three programs' capacities as people read them: a sentence, a table, and a JSON file."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from loadtest.benchmark.report import number, plain, table
from loadtest.capacity.conclusion import QUIET_SHARE
from loadtest.crosscheck.programs import LOCUST, Burst
from loadtest.crosscheck.run import medians
from loadtest.measure.machine import hardware, revision, versions

HEADINGS = (
    "of",
    "masks/s",
    "of Locust's",
    "p50 ms",
    "p99 ms",
    "other answers",
    "CPU ms/mask",
    "others' cores",
)


def save(found: Sequence[Burst], course: Mapping[str, object], folder: Path) -> str:
    """Write `.md` and `.json`; returns the page."""
    about = {**course, "hardware": hardware(), "versions": versions(), "revision": revision()}
    page = markdown(found, about)
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / "confirm-cpu"
    stem.with_suffix(".md").write_text(page)
    raw = about | {"turns": [asdict(one) for one in found]}
    stem.with_suffix(".json").write_text(json.dumps(raw, indent=1) + "\n")
    return page


def markdown(found: Sequence[Burst], about: Mapping[str, object]) -> str:
    facts = "\n".join(f"- {name}: {plain(value)}" for name, value in about.items())
    middles = medians(found)
    rows = [cells(one, middles[LOCUST]) for one in middles.values()]
    told = table(rows, HEADINGS)
    return f"# Is it the client?\n\n{facts}\n\n{verdict(middles)}\n\n{told}\n\n{NOTES}"


def verdict(middles: Mapping[str, Burst]) -> str:
    locust = middles[LOCUST].masks_per_s
    apart = max(abs(one.masks_per_s / locust - 1) for one in middles.values())
    names = ", ".join(name for name in middles if name != LOCUST)
    told = f"Locust finds {locust:.1f} masks/s; {names} differ from that by {apart:.0%} at most."
    return f"**{told}**{disturbed(middles)}"


def disturbed(middles: Mapping[str, Burst]) -> str:
    most = max(one.others_cpu for one in middles.values())
    if most <= QUIET_SHARE * len(os.sched_getaffinity(0)):
        return ""
    return f" **Other programs used up to {most:.1f} cores meanwhile: measure again.**"


def cells(one: Burst, locust: Burst) -> tuple[str, ...]:
    return (
        one.program,
        number(one.masks_per_s, 1),
        number(one.masks_per_s / locust.masks_per_s, 3),
        number(one.p50_ms, 0),
        number(one.p99_ms, 0),
        str(one.other_answers),
        number(one.client_cpu_ms, 2),
        number(one.others_cpu, 2),
    )


NOTES = """\
Medians over turns; the programs took turns against one service, with the same photos, and as many
clients that ask again as soon as they have their answer. CPU is that of the client, which shares
the machine: what it uses the service lacks. Locust's includes checking each answer.
"""
