"""The report of a cross-check."""

import dataclasses

from loadtest.crosscheck.report import markdown
from loadtest.crosscheck.turns import ASYNCIO, LOCUST, WRK, Turn


def turn(program: str, masks_per_s: float, other_answers: int = 0) -> Turn:
    return Turn(program, masks_per_s, 10, 20, other_answers, 1)


def test_the_page_states_how_far_the_programs_differ() -> None:
    page = markdown([turn(LOCUST, 50), turn(ASYNCIO, 51), turn(WRK, 46)], {"clients": 16})
    assert "**Locust measures 50.0 masks/s; asyncio, wrk differ from that by at most 8%.**" in page
    assert "| wrk     |    46.0 |       0.920 |" in page


def test_the_page_warns_of_other_programs() -> None:
    quiet, disturbed = turn(LOCUST, 50), dataclasses.replace(turn(WRK, 50), other_programs_cpu=1e3)
    assert "measure again" not in markdown([quiet], {})
    assert "Other programs used up to 1000.0 cores" in markdown([quiet, disturbed], {})
