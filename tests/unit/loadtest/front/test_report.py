"""The report shows medians over turns, and ratios of slices of one turn."""

from dataclasses import replace

from loadtest.front.report import COMPARED_WITH, data_of, figures_of, markdown
from loadtest.front.turns import FrontSlice

SLICE = FrontSlice(
    masks=100,
    failed=0,
    seconds=1.0,
    cpu_ms={"gateway": 1.5, "java": 0.5, "workers": 1.0, "client": 0.1},
    p50_ms=8.0,
    p99_ms=20.0,
    other_programs_share=0.01,
)
OTHER = replace(SLICE, masks=200, cpu_ms={"front": 0.1, "workers": 0.8, "client": 0.1}, p50_ms=4.0)


def slower(one: FrontSlice, times: int) -> FrontSlice:
    return replace(one, seconds=one.seconds * times)


def test_a_machine_that_was_slower_in_one_turn_does_not_change_the_ratio() -> None:
    figures = figures_of([SLICE, slower(SLICE, 4)], [OTHER, slower(OTHER, 4)])
    assert figures["ratio"] == 0.5
    assert figures["p50_ratio"] == 2.0
    assert figures["masks_per_s"] == 62.5


def test_without_the_other_server_there_is_no_ratio() -> None:
    assert figures_of([SLICE], [])["ratio"] is None


def test_the_page_has_a_row_for_each_server_and_number_of_clients() -> None:
    page = markdown({"ours": {1: [SLICE], 16: [SLICE]}, COMPARED_WITH: {16: [OTHER]}}, {"turns": 1})
    rows = [line.split("|")[1:4] for line in page.splitlines() if line.startswith("| ")][1:]
    shown = [[cell.strip() for cell in row] for row in rows if "-" not in row[0]]
    assert shown == [["ours", "1", "100"], ["ours", "16", "100"], [COMPARED_WITH, "16", "200"]]


def test_failures_are_summed_over_turns() -> None:
    failed = replace(SLICE, failed=2)
    found = data_of({"ours": {16: [failed, failed]}}, {})["figures"]
    assert isinstance(found, dict)
    assert found["ours"]["16"]["failed"] == 4
