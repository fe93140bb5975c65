"""The report of an overload run: a table, and a JSON file with every sample.

Called by `loadtest.overload.run`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from loadtest.overload.figures import OverloadResult, figures_of
from loadtest.report.machine import environment_facts
from loadtest.report.markdown import cell, fact_list
from loadtest.report.result_files import write_result


def save(result: OverloadResult, folder: Path) -> str:
    """Write `.md` and `.json`; returns the page."""
    facts = environment_facts()
    page = markdown(result, facts)
    data = facts | {"options": asdict(result.options), "figures": dict(figures_of(result))}
    write_result(folder / "overload-cpu", page, data | samples_of(result))
    return page


def markdown(result: OverloadResult, facts: Mapping[str, object]) -> str:
    rows = "\n".join(f"| {what} | {cell(value)} |" for what, value in figures_of(result))
    listed = fact_list(asdict(result.options) | dict(facts))
    return f"# Overload\n\n{listed}\n\n| what | measured |\n|---|---:|\n{rows}\n\n{NOTES}"


def samples_of(result: OverloadResult) -> dict[str, object]:
    refused_ms = rounded(result.overload.refused_ms)
    return {
        "mask_ms": rounded(result.overload.mask_ms),
        "refused": dict(sorted(Counter(refused_ms).items())),  # count by ms
        "losses": result.overload.losses[:20],
        "memory": asdict(result.memory),
    }


def rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 1) for value in values]


NOTES = """\
Times are the clients', from before a connection is chosen to the last byte of the answer. The
clients run in one process beside the service, on the same cores, with a higher priority where the
system permits it (nice -10): what they use the service lacks, so `overload: masks/s` is lower than
`saturated: masks/s` by that, and by the cost of the refusals. How late the client's loop sends is
measured with every request and shown beside the time to 429; it is an error of the instrument, and
is not subtracted.
"""
