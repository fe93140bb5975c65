"""CPU of other programs during a turn."""

import os
import time

from loadtest.crosscheck.run import measure_other_programs, own_and_descendants_cpu_s
from loadtest.crosscheck.turns import LOCUST, Turn


def turn(program: str, masks_per_s: float, other_answers: int = 0) -> Turn:
    return Turn(program, masks_per_s, 10, 20, other_answers, 1)


def test_this_process_does_not_count_as_another_program() -> None:
    def busy() -> list[Turn]:
        while time.process_time() < busy_until:
            pass
        return [turn(LOCUST, 50)]

    busy_until = time.process_time() + 0.3
    before = own_and_descendants_cpu_s()
    (found,) = measure_other_programs(busy)
    assert own_and_descendants_cpu_s() - before >= 0.25
    assert 0 <= found.other_programs_cpu <= len(os.sched_getaffinity(0))
