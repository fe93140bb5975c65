"""The report of a run of the front: slices in, a page and a JSON file out.

Called by `loadtest.front.run`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from loadtest.front.turns import FrontSlice, Slices
from loadtest.report.markdown import fact_list, number, table
from loadtest.report.result_files import write_result

COMPARED_WITH = "mosec"
CPU_ROLES = ("gateway", "front", "java", "workers", "client")
HEADINGS = (
    "server",
    "clients",
    "masks/s",
    f"÷ {COMPARED_WITH}",
    "p50 ms",
    "p99 ms",
    *(f"CPU {role}" for role in CPU_ROLES),
    "failed",
    "other programs %",
)


def save(slices: Slices, facts: Mapping[str, object], stem: Path) -> str:
    """Write STEM.md and STEM.json; returns the page."""
    page = markdown(slices, facts)
    write_result(stem, page, data_of(slices, facts))
    return page


def data_of(slices: Slices, facts: Mapping[str, object]) -> dict[str, object]:
    """Return all slices, and the figures of the table by name, for programs."""
    return {
        "facts": dict(facts),
        "figures": {
            name: {
                str(clients): figures_of(turns, reference(slices, clients))
                for clients, turns in levels.items()
            }
            for name, levels in slices.items()
        },
        "slices": {
            name: {
                str(clients): [asdict(one) for one in turns] for clients, turns in levels.items()
            }
            for name, levels in slices.items()
        },
    }


def reference(slices: Slices, clients: int) -> Sequence[FrontSlice]:
    return slices.get(COMPARED_WITH, {}).get(clients, [])


def figures_of(turns: Sequence[FrontSlice], others: Sequence[FrontSlice]) -> dict[str, object]:
    """Return medians over turns; ratios are of slices of one turn."""
    cpu_ms = {
        role: median(one.cpu_ms[role] for one in turns)
        for role in CPU_ROLES
        if role in turns[0].cpu_ms
    }
    return {
        "masks_per_s": median(one.masks_per_s for one in turns),
        "ratio": paired(turns, others, lambda one: one.masks_per_s),
        "p50_ms": median(one.p50_ms or 0.0 for one in turns),
        "p99_ms": median(one.p99_ms or 0.0 for one in turns),
        "p50_ratio": paired(turns, others, lambda one: one.p50_ms or 0.0),
        "cpu_ms": cpu_ms,
        "failed": sum(one.failed for one in turns),
        "other_programs_share": max(one.other_programs_share for one in turns),
    }


def paired(
    turns: Sequence[FrontSlice],
    others: Sequence[FrontSlice],
    figure: Callable[[FrontSlice], float],
) -> float | None:
    """Return the median of the turns' ratios; None where there is nothing to compare with."""
    ratios = [
        figure(one) / figure(other)
        for one, other in zip(turns, others, strict=False)
        if figure(other)
    ]
    return median(ratios) if ratios else None


def markdown(slices: Slices, facts: Mapping[str, object]) -> str:
    rows = [
        cells_of(name, clients, turns, reference(slices, clients))
        for name, levels in slices.items()
        for clients, turns in levels.items()
    ]
    title = "# The front: servers around a network that costs nothing"
    return "\n\n".join([title, fact_list(facts), table(rows, HEADINGS, ("server",)), NOTES])


def cells_of(
    name: str, clients: int, turns: Sequence[FrontSlice], others: Sequence[FrontSlice]
) -> tuple[str, ...]:
    """Write a row's cells, in the order of HEADINGS."""
    cpu_ms = [
        number(median(one.cpu_ms[role] for one in turns), 2) if role in turns[0].cpu_ms else "-"
        for role in CPU_ROLES
    ]
    return (
        name,
        str(clients),
        number(median(one.masks_per_s for one in turns), 0),
        number(paired(turns, others, lambda one: one.masks_per_s), 2),
        number(median(one.p50_ms or 0.0 for one in turns), 2),
        number(median(one.p99_ms or 0.0 for one in turns), 1),
        *cpu_ms,
        str(sum(one.failed for one in turns)),
        number(100 * max(one.other_programs_share for one in turns), 0),
    )


NOTES = """\
Made by `make bench-front`. JPEGs in, PNGs of ready-made label maps out: decoding, encoding and all
of the servers are real, the network is not. Servers and client share the machine; one server runs
at a time, in turns. Figures are medians over turns, ratios those of slices of one turn; every
answer's labels are checked, and a wrong one is a failure. `CPU`: milliseconds a mask, user and
system, by process: `java` is TorchServe's Java and, of ours, its supervisor; of mosec, `front` is
its server in Rust and `workers` all Python processes; of LitServe, `workers` are all processes.
`other programs`: share of the cores in the worst slice, used by programs outside of the run.
"""
