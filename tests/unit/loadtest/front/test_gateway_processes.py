"""Refusals are counted by their status, and their CPU time is that of an answer."""

from loadtest.front.gateway_processes import ProcessesResult
from loadtest.front.turns import FrontSlice

FULL = FrontSlice(
    masks=100,
    failed=1900,
    seconds=2.0,
    cpu_ms={"gateway": 10.0, "client": 2.0},  # a mask
    p50_ms=1.0,
    p99_ms=2.0,
    other_programs_share=0.0,
    statuses={200: 100, 429: 1900},
)


def test_refusals_are_counted_by_their_status() -> None:
    assert ProcessesResult(1, FULL, FULL).refusals_per_s == 950


def test_all_answers_share_the_cpu_time_of_a_full_gateway() -> None:
    assert ProcessesResult(1, FULL, FULL).ms_per_answer("gateway") == 0.5
