"""The figures of one turn of a load generator, and their medians by program.

Called by `loadtest.crosscheck.programs`, which makes turns, and by the report.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

LOCUST, ASYNCIO, WRK = "Locust", "asyncio", "wrk"


@dataclass(frozen=True, slots=True)
class Turn:
    """What one program measured in one turn."""

    program: str
    masks_per_s: float
    p50_ms: float
    p99_ms: float
    other_answers: int
    client_cpu_ms: float  # per mask
    other_programs_cpu: float = 0.0  # cores that programs outside the measurement used


def medians(turns: Sequence[Turn]) -> dict[str, Turn]:
    """Return by program the median of each figure; the sum of the other answers, and the largest
    use by other programs.
    """
    programs = dict.fromkeys(turn.program for turn in turns)
    return {
        name: median_turn([turn for turn in turns if turn.program == name]) for name in programs
    }


def median_turn(turns: Sequence[Turn]) -> Turn:
    figures = [asdict(turn) for turn in turns]
    numbers = {
        name: median(each[name] for each in figures)
        for name in ("masks_per_s", "p50_ms", "p99_ms", "client_cpu_ms")
    }
    return Turn(
        program=turns[0].program,
        other_answers=sum(turn.other_answers for turn in turns),
        other_programs_cpu=max(turn.other_programs_cpu for turn in turns),
        **numbers,
    )
