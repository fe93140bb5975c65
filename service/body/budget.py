"""Bodies that are arriving: what they may hold together, how slowly one may come, and which one is
given up when there is no room for all.

Bytes count as they arrive, never as they are announced. A permit (`service.pipeline.admission`) is
taken when a body is complete: a request that has not arrived costs no other one its place. Where
bodies hold as many bytes as they may, the slowest of those that hold much gives its bytes back, so
that one that comes without delay always finds room. Called by `service.body.read`.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from handlers.shared.errors import ProblemError
from service.deadline import Deadline
from service.errors import BusyError, ReadTimeoutError
from service.metrics.queue import QueueMetrics

# before the least rate holds: a connection's start is slow
GRACE_S = 5.0
# over which the present rate of a body is looked at
RATE_WINDOW_S = 1.0
MIN_AGE_S = 0.001


class BodyBudget:
    """All bodies that are arriving at one process."""

    def __init__(self, max_bytes: int, min_bytes_per_s: int, metrics: QueueMetrics) -> None:
        self.max_bytes = max_bytes
        self._metrics = metrics
        self._arrivals: set[ArrivingBody] = set()
        self._held_bytes = 0
        self.min_bytes_per_s = min_bytes_per_s

    @asynccontextmanager
    async def arriving(self, deadline: Deadline) -> AsyncIterator["ArrivingBody"]:
        """Hold what arrives inside; raises ReadTimeoutError where that takes too long, BusyError
        where others need the room.
        """
        arrival = ArrivingBody(self, deadline)
        self._arrivals.add(arrival)
        self._count(0)
        try:
            async with asyncio.timeout_at(arrival.due) as arrival.timeout:
                yield arrival
        except TimeoutError as error:
            raise arrival.problem() from error
        finally:
            self._arrivals.discard(arrival)
            self._count(-arrival.body_bytes)

    def take(self, arrival: "ArrivingBody", more_bytes: int) -> None:
        """Count bytes that have arrived; a body always finds room where no other holds any."""
        self._count(more_bytes)
        arrival.body_bytes += more_bytes
        while self.max_bytes < self._held_bytes > arrival.body_bytes:
            slowest = min([arrival, *self._holders()], key=ArrivingBody.present_rate)
            if slowest is arrival:
                raise self._no_room()
            self._arrivals.discard(slowest)
            slowest.give_up(self._no_room())

    def _holders(self) -> list["ArrivingBody"]:
        """Find the bodies that hold half of the mean or more. To give up others frees next to
        nothing, however slow they are; these hold half of all bytes at least.
        """
        least_bytes = self._held_bytes / (2 * len(self._arrivals))
        return [arrival for arrival in self._arrivals if arrival.body_bytes >= least_bytes]

    def release(self, arrival: "ArrivingBody") -> None:
        self._count(-arrival.body_bytes)
        arrival.body_bytes = 0

    def _no_room(self) -> BusyError:
        return BusyError(
            f"bodies that are arriving hold {self._held_bytes} bytes; the limit is "
            f"{self.max_bytes}, and this one came slowest; send it without a pause, come back "
            "after Retry-After, or raise FCNSERVE_MAX_READING_BYTES",
            retry_after_s=1,
        )

    def _count(self, body_bytes: int) -> None:
        self._held_bytes += body_bytes
        self._metrics.show_reading(len(self._arrivals), self._held_bytes)


class ArrivingBody:
    """One body that is arriving."""

    timeout: asyncio.Timeout

    def __init__(self, reading: BodyBudget, deadline: Deadline) -> None:
        self._reading = reading
        self._deadline = deadline
        self._began = self._last = asyncio.get_running_loop().time()
        self._recent_bytes = 0.0
        self._arrived_bytes = 0
        self._given_up: ProblemError | None = None
        self.body_bytes = 0  # held

    @property
    def due(self) -> float:
        """When more has to have come."""
        paid_s = self._arrived_bytes / self._reading.min_bytes_per_s
        return min(self._deadline.at_s, self._began + GRACE_S + paid_s)

    def take(self, more_bytes: int) -> None:
        """Take account of bytes that have arrived; raises BusyError."""
        if self._given_up is not None:
            raise self._given_up
        now = asyncio.get_running_loop().time()
        self._recent_bytes = self._recent(now) + more_bytes
        self._last = now
        self._arrived_bytes += more_bytes
        self._reading.take(self, more_bytes)
        if not self.timeout.expired():
            self.timeout.reschedule(self.due)

    def present_rate(self) -> float:
        """How fast it comes now, in bytes of RATE_WINDOW_S: what is past counts less and less, and
        what has only begun is not slow for that.
        """
        now = asyncio.get_running_loop().time()
        age_s = max(MIN_AGE_S, now - self._began)
        return self._recent(now) / (1 - math.exp(-age_s / RATE_WINDOW_S))

    def give_up(self, problem: ProblemError) -> None:
        """End it with a problem, now that its room is needed."""
        self._given_up = problem
        self._reading.release(self)
        if not self.timeout.expired():
            self.timeout.reschedule(-math.inf)

    def problem(self) -> ProblemError:
        """Say why it was ended before it was complete."""
        if self._given_up is not None:
            return self._given_up
        now = asyncio.get_running_loop().time()
        if now >= self._deadline.at_s:
            return ReadTimeoutError(f"no whole body {self._deadline.within}")
        return ReadTimeoutError(
            f"{self._arrived_bytes} bytes of the body came in {now - self._began:.1f} s; the least "
            f"is {self._reading.min_bytes_per_s} a second after {GRACE_S:g} s; send it faster, or "
            "lower FCNSERVE_MIN_BODY_BYTES_PER_S"
        )

    def _recent(self, now: float) -> float:
        return self._recent_bytes * math.exp((self._last - now) / RATE_WINDOW_S)
