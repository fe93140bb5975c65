"""The table of a run, on the terminal and, when asked for, as files."""

import json
from collections.abc import Sequence

from loadtest.report.machine import hardware, revision, versions
from tests.faults.counts import HEADINGS, Tally
from tests.integration.server import ROOT

STEM = ROOT / "loadtest" / "results" / "faults"


def table(tallies: Sequence[Tally]) -> str:
    """Write a row a fault, in Markdown."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *(tally.cells() for tally in tallies)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def save(tallies: Sequence[Tally]) -> None:
    machine = hardware()
    about = {"hardware": machine, "versions": versions(), "revision": revision()}
    told = f"{machine['cpu']}, {machine['cores']} cores, shared with the clients"
    page = f"# Faults under load\n\n- hardware: {told}\n- revision: {about['revision']}\n\n"
    STEM.with_suffix(".md").write_text(page + table(tallies) + "\n")
    raw = about | {"faults": [tally.raw() for tally in tallies]}
    STEM.with_suffix(".json").write_text(json.dumps(raw, indent=1) + "\n")
