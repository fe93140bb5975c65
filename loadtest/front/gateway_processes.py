"""Masks and refusals a second by the number of gateway processes.

Photos and numbers of processes in; for each, a slice of masks with many clients, and one of a
gateway that is full, out: as many requests as it has processes are in flight, and all others get
429. Called by `loadtest.front.run`.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path

from loadtest.front.data import FrontData
from loadtest.front.servers import OURS, start
from loadtest.front.turns import FrontSlice, Progress, Terms, measure, slice_text, warm_up
from loadtest.measure.service import GATEWAY
from loadtest.measure.service_load import start_client_process
from loadtest.report.markdown import fact_list, number, table
from loadtest.report.result_files import write_result

HEADINGS = (
    "gateway processes",
    "masks/s",
    "p99 ms",
    "CPU ms a mask: gateway",
    "when full: 429s/s",
    "and masks/s",
    "CPU ms an answer: gateway",
    "client",
)


@dataclass(frozen=True, slots=True)
class ProcessesResult:
    """The figures of one number of processes."""

    processes: int
    masks: FrontSlice
    refusals: FrontSlice

    @property
    def refusals_per_s(self) -> float:
        return self.refusals.statuses.get(HTTPStatus.TOO_MANY_REQUESTS, 0) / self.refusals.seconds

    def ms_per_answer(self, role: str) -> float:
        """CPU time of a role for each answer of the full gateway, masks and refusals alike."""
        total_ms = self.refusals.cpu_ms[role] * self.refusals.masks
        return total_ms / max(1, sum(self.refusals.statuses.values()))


def run_processes(
    data: FrontData, terms: Terms, counts: Sequence[int], progress: Progress
) -> list[ProcessesResult]:
    """Start ours twice for each number of processes: as usual, and with a permit a process."""
    results = []
    with start_client_process() as client_process:
        for count in counts:
            usual = dict(terms.settings) | {"gateway_processes": str(count)}
            full = usual | {"max_in_flight": str(count)}
            masks = measure_setting(data, terms, usual, client_process)
            refusals = measure_setting(data, terms, full, client_process)
            results.append(ProcessesResult(count, masks, refusals))
            progress(f"{count} processes: {slice_text(masks)}; when full: {slice_text(refusals)}")
    return results


def measure_setting(
    data: FrontData, terms: Terms, settings: Mapping[str, str], client_process: Executor
) -> FrontSlice:
    """Measure one slice with the most clients."""
    with start(OURS, data, settings) as (server, _):
        warm_up(server, data, terms, client_process)
        return measure(server, data, max(terms.clients), terms.seconds, client_process)


def save_processes(
    results: Sequence[ProcessesResult], facts: Mapping[str, object], stem: Path
) -> str:
    """Write STEM.md and STEM.json; returns the page."""
    title, rows = "# Gateway processes", table([cells_of(one) for one in results], HEADINGS)
    page = "\n\n".join([title, fact_list(facts), rows, NOTES])
    write_result(stem, page, {"facts": dict(facts), "results": [asdict(one) for one in results]})
    return page


def cells_of(one: ProcessesResult) -> tuple[str, ...]:
    """Write a row's cells, in the order of HEADINGS."""
    return (
        str(one.processes),
        number(one.masks.masks_per_s, 0),
        number(one.masks.p99_ms, 1),
        number(one.masks.cpu_ms[GATEWAY], 2),
        number(one.refusals_per_s, 0),
        number(one.refusals.masks_per_s, 0),
        number(one.ms_per_answer(GATEWAY), 2),
        number(one.ms_per_answer("client"), 2),
    )


NOTES = """\
Made by `python -m loadtest.front.run --processes 1 --processes 2`: the network costs nothing, and
servers and client share the machine. `when full`: as many requests may be in flight as there are
processes; the clients do not wait after a 429, so nearly all requests get one.
"""
