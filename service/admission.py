"""The bound on requests in flight: beyond it a request is turned away at once, with a time to come
back.
"""

import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import BusyError
from service.line_metrics import LineMetrics

RECENT_ANSWERS = 50
MAX_RETRY_AFTER_S = 60


class Admission:
    """Counts requests in flight, and remembers how fast answers have followed each other since it
    was last idle.
    """

    def __init__(self, max_in_flight: int, metrics: LineMetrics) -> None:
        self._max_in_flight = max_in_flight
        self._gauge = metrics.in_flight
        metrics.in_flight_limit.set(max_in_flight)
        # when the first request since idleness came in, then when each was done with
        self._moments: deque[float] = deque(maxlen=RECENT_ANSWERS + 1)
        self.in_flight = 0

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold one place; raises BusyError when all are taken."""
        if self.in_flight >= self._max_in_flight:
            raise BusyError(
                f"{self.in_flight} requests are in flight; the limit is {self._max_in_flight}; "
                "come back after Retry-After or raise FCNSERVE_MAX_IN_FLIGHT",
                self.retry_after_s(),
            )
        if self.in_flight == 0:
            self._moments.clear()
            self._moments.append(time.monotonic())
        self.in_flight += 1
        self._gauge.set(self.in_flight)
        try:
            yield
        finally:
            self.in_flight -= 1
            self._gauge.set(self.in_flight)
            self._moments.append(time.monotonic())

    def retry_after_s(self) -> int:
        """Estimate how long answering all that is in flight takes, at the recent rate."""
        answers = len(self._moments) - 1
        if answers < 1:
            return 1
        seconds_per_answer = (time.monotonic() - self._moments[0]) / answers
        return min(MAX_RETRY_AFTER_S, max(1, math.ceil(seconds_per_answer * self.in_flight)))
