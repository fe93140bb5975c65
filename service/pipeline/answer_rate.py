"""The rate of answers, and from it `Retry-After`: predicted seconds answered per second of time.

Each answer's predicted seconds come in, the estimate goes out. Called by
`service.pipeline.admission`.
"""

import math
import time
from collections import deque

from service.pipeline.limits import InFlight

RECENT_ANSWERS = 50
# the cost of an answer, beside what is predicted for its image
OVERHEAD_S = 0.001
MAX_RETRY_AFTER_S = 60


class AnswerRate:
    """The most recent answers since the gateway was last idle."""

    def __init__(self) -> None:
        # the time of the first request since then, then the time and cost of each answer
        self._answers: deque[tuple[float, float]] = deque(maxlen=RECENT_ANSWERS + 1)

    def restart(self) -> None:
        """Forget the answers before an idle period, which says nothing about the rate."""
        self._answers.clear()
        self._answers.append((time.monotonic(), 0.0))

    def add(self, seconds: float) -> None:
        """Record an answer of so many predicted seconds."""
        self._answers.append((time.monotonic(), OVERHEAD_S + seconds))

    def retry_after_s(self, in_flight: InFlight) -> int:
        """Estimate in how many seconds all that is in flight is answered, at the recent rate."""
        (since, _), *answers = self._answers or [(0.0, 0.0)]
        if not answers:
            return 1
        left_s = OVERHEAD_S * in_flight.images + in_flight.seconds
        wait_s = (time.monotonic() - since) * left_s / sum(seconds for _, seconds in answers)
        return min(MAX_RETRY_AFTER_S, max(1, math.ceil(wait_s)))
