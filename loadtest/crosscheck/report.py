"""The report of a cross-check: turns in, a Markdown page and a JSON file out.

Called by `loadtest.crosscheck.run`.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from loadtest.capacity.conclusion import disturbance_warning
from loadtest.crosscheck.turns import LOCUST, Turn, medians
from loadtest.report.machine import environment_facts
from loadtest.report.markdown import fact_list, number, table
from loadtest.report.result_files import write_result

HEADINGS = (
    "of",
    "masks/s",
    "of Locust's",
    "p50 ms",
    "p99 ms",
    "other answers",
    "CPU ms/mask",
    "other programs' cores",
)
LEFT = ("of",)


def save(turns: Sequence[Turn], options: Mapping[str, object], folder: Path) -> str:
    """Write `.md` and `.json`; returns the page."""
    facts = {**options, **environment_facts()}
    page = markdown(turns, facts)
    write_result(
        folder / "crosscheck-cpu", page, facts | {"turns": [asdict(turn) for turn in turns]}
    )
    return page


def markdown(turns: Sequence[Turn], facts: Mapping[str, object]) -> str:
    by_program = medians(turns)
    rows = [cells(turn, by_program[LOCUST]) for turn in by_program.values()]
    return (
        f"# Is the client the limit?\n\n{fact_list(facts)}\n\n{conclusion(by_program)}\n\n"
        f"{table(rows, HEADINGS, LEFT)}\n\n{NOTES}"
    )


def conclusion(by_program: Mapping[str, Turn]) -> str:
    """Write how far the programs differ, and the warning where other programs disturbed them."""
    locust = by_program[LOCUST].masks_per_s
    largest = max(abs(turn.masks_per_s / locust - 1) for turn in by_program.values())
    names = ", ".join(name for name in by_program if name != LOCUST)
    text = (
        f"Locust measures {locust:.1f} masks/s; {names} differ from that by at most {largest:.0%}."
    )
    other_programs_cpu = max(turn.other_programs_cpu for turn in by_program.values())
    warning = disturbance_warning(other_programs_cpu, len(os.sched_getaffinity(0)))
    return " ".join([f"**{text}**", *warning])


def cells(turn: Turn, locust: Turn) -> tuple[str, ...]:
    return (
        turn.program,
        number(turn.masks_per_s, 1),
        number(turn.masks_per_s / locust.masks_per_s, 3),
        number(turn.p50_ms, 0),
        number(turn.p99_ms, 0),
        str(turn.other_answers),
        number(turn.client_cpu_ms, 2),
        number(turn.other_programs_cpu, 2),
    )


NOTES = """\
Medians over turns; the programs took turns against one service, with the same photos and the same
number of clients in a closed loop. CPU is that of the client, which shares the machine: what it
uses the service lacks. Locust's includes checking each answer.
"""
