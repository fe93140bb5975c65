"""The rate of answers, and from it `Retry-After`: predicted seconds answered per second of time.

Each answer's predicted seconds come in, the estimate goes out. The answers of all processes count,
as this one sees them whenever it answers itself. Called by `service.pipeline.admission`.
"""

import math
import time
from collections import deque

from service.multiprocess.group import ANSWERED_S, ProcessGroup
from service.pipeline.limits import InFlight

RECENT_ANSWERS = 50
# the cost of an answer, beside what is predicted for its image
OVERHEAD_S = 0.001
MAX_RETRY_AFTER_S = 60


class AnswerRate:
    """What was answered lately, since this process was last idle."""

    def __init__(self, group: ProcessGroup) -> None:
        self._answered_s = group.figure(ANSWERED_S)
        # at the first request since then, and at each answer: the time, and the sum of all answers
        self._sums: deque[tuple[float, float]] = deque(maxlen=RECENT_ANSWERS + 1)

    def restart(self) -> None:
        """Forget the answers before an idle period, which says nothing about the rate."""
        self._sums.clear()
        self._record()

    def add(self, seconds: float) -> None:
        """Record an answer of so many predicted seconds."""
        self._answered_s.own += OVERHEAD_S + seconds
        self._record()

    def retry_after_s(self, in_flight: InFlight) -> int:
        """Estimate in how many seconds all that is in flight is answered, at the recent rate."""
        if len(self._sums) < 2:  # noqa: PLR2004 - a difference takes two
            return 1
        (since, sum_then_s), (_, sum_now_s) = self._sums[0], self._sums[-1]
        left_s = OVERHEAD_S * in_flight.images + in_flight.seconds
        wait_s = (time.monotonic() - since) * left_s / (sum_now_s - sum_then_s)
        return min(MAX_RETRY_AFTER_S, max(1, math.ceil(wait_s)))

    def _record(self) -> None:
        self._sums.append((time.monotonic(), self._answered_s.total()))
