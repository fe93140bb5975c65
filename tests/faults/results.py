"""The table of a run, on the terminal and, with `--write-results`, as files.

Called by the room's conftest.
"""

from collections.abc import Sequence

from loadtest.report.machine import hardware, revision, versions
from loadtest.report.result_files import write_result
from tests.faults.counts import HEADINGS, Counts
from tests.support.server import ROOT

STEM = ROOT / "loadtest" / "results" / "faults"


def table(results: Sequence[Counts]) -> str:
    """Write one row per fault, in Markdown."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *(counts.cells() for counts in results)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def save(results: Sequence[Counts]) -> None:
    machine, commit = hardware(), revision()
    text = f"{machine['cpu']}, {machine['cores']} cores, shared with the clients"
    page = f"# Faults under load\n\n- hardware: {text}\n- revision: {commit}\n\n{table(results)}\n"
    facts = {"hardware": machine, "versions": versions(), "revision": commit}
    write_result(STEM, page, facts | {"faults": [counts.data() for counts in results]})
