"""Bodies that are arriving: how many bytes they may hold together, how slowly one may arrive, and
which one is rejected when there is no room for all.

Bytes count as they arrive, not as they are declared. A permit (`service.pipeline.admission`) is
taken when a body is complete, so that a request that has not arrived takes none from others. Where
bodies hold as many bytes as they may, the slowest of those that hold much is rejected, so that a
body that arrives without delay always finds room. Used by `service.pipeline` and
`service.body.read`.

Our own, because uvicorn and Starlette limit no body, and proxies limit one body's size and, as
nginx, the pause between two reads, which a body of one byte a minute does not exceed.
"""

import asyncio
import math

from handlers.shared.errors import ProblemError
from service.deadline import Deadline
from service.errors import BusyError, ReadTimeoutError
from service.metrics.queue import QueueMetrics
from service.settings import Settings
from service.tasks.interruption import Interruption

# before the least rate applies: a connection starts slowly
GRACE_S = 5.0
# time constant of the average that is a body's present rate
RATE_WINDOW_S = 1.0
MIN_AGE_S = 0.001


class BodyBudget:
    """The bytes of all bodies that are arriving at one process."""

    def __init__(self, max_bytes: int, min_bytes_per_s: int, metrics: QueueMetrics) -> None:
        self.max_bytes = max_bytes
        self.min_bytes_per_s = min_bytes_per_s
        self._bodies: set[ArrivingBody] = set()
        self._held_bytes = 0
        metrics.bodies_reading.follow(lambda: len(self._bodies))
        metrics.bytes_reading.follow(lambda: self._held_bytes)

    @classmethod
    def of(cls, settings: Settings, metrics: QueueMetrics, processes: int) -> "BodyBudget":
        """Make one process's part of the budget, with room for two bodies at least.

        An equal part: where another process took what this one leaves, its slow bodies would be in
        the way of this one's fast ones, and this one could not reject them.
        """
        part_bytes = max(settings.max_reading_bytes // processes, 2 * settings.max_body_bytes)
        max_bytes = min(settings.max_reading_bytes, part_bytes)
        return cls(max_bytes, settings.min_body_bytes_per_s, metrics)

    def arriving(self, deadline: Deadline) -> "ArrivingBody":
        """Return a block that counts a body which arrives inside it.

        Raises ReadTimeoutError where it arrives too slowly, BusyError where others need its room.
        """
        return ArrivingBody(self, deadline)

    def add(self, body: "ArrivingBody") -> None:
        self._bodies.add(body)

    def remove(self, body: "ArrivingBody") -> None:
        self._bodies.discard(body)
        self._held_bytes -= body.held_bytes

    def take(self, body: "ArrivingBody", more_bytes: int) -> None:
        """Count bytes that have arrived; a body always finds room where no other holds any."""
        self._held_bytes += more_bytes
        body.held_bytes += more_bytes
        while self.max_bytes < self._held_bytes > body.held_bytes:
            slowest = min([body, *self._large_bodies()], key=ArrivingBody.present_rate)
            if slowest is body:
                raise self._no_room()
            self._bodies.discard(slowest)
            slowest.reject(self._no_room())

    def _large_bodies(self) -> list["ArrivingBody"]:
        """Find the bodies that hold half of the mean or more: together at least half of all bytes.
        To reject smaller ones would free next to nothing, however slow they are.
        """
        least_bytes = self._held_bytes / (2 * len(self._bodies))
        return [body for body in self._bodies if body.held_bytes >= least_bytes]

    def release(self, body: "ArrivingBody") -> None:
        self._held_bytes -= body.held_bytes
        body.held_bytes = 0

    def _no_room(self) -> BusyError:
        return BusyError(
            f"bodies that are arriving hold {self._held_bytes} bytes; the limit is "
            f"{self.max_bytes}, and this one arrives slowest; send it without a pause, try again "
            "after Retry-After, or raise FCNSERVE_MAX_READING_BYTES",
            retry_after_s=1,
        )


class ArrivingBody(Interruption):
    """One body that is arriving: the block in which it is read."""

    def __init__(self, budget: BodyBudget, deadline: Deadline) -> None:
        self._budget = budget
        self._deadline = deadline
        self._began_s = self._last_s = asyncio.get_running_loop().time()
        self._recent_bytes = 0.0
        self._arrived_bytes = 0
        self._rejection: ProblemError | None = None
        self.held_bytes = 0
        super().__init__(self.next_due_s())

    def begin(self) -> None:
        self._budget.add(self)

    def end(self) -> None:
        self._budget.remove(self)

    def next_due_s(self) -> float:
        """Return the loop time by which more bytes have to arrive."""
        earned_s = self._arrived_bytes / self._budget.min_bytes_per_s
        return min(self._deadline.at_s, self._began_s + GRACE_S + earned_s)

    def take(self, more_bytes: int) -> None:
        """Count bytes that have arrived; raises BusyError."""
        if self._rejection is not None:
            raise self._rejection
        now_s = asyncio.get_running_loop().time()
        self._recent_bytes = self._decayed(now_s) + more_bytes
        self._last_s = now_s
        self._arrived_bytes += more_bytes
        self._budget.take(self, more_bytes)
        self.due_s = self.next_due_s()

    def present_rate(self) -> float:
        """The bytes of the last RATE_WINDOW_S: an exponential average, corrected for a body that
        has just begun.
        """
        now_s = asyncio.get_running_loop().time()
        age_s = max(MIN_AGE_S, now_s - self._began_s)
        return self._decayed(now_s) / (1 - math.exp(-age_s / RATE_WINDOW_S))

    def reject(self, problem: ProblemError) -> None:
        """End it with a problem, and release its bytes."""
        self._rejection = problem
        self._budget.release(self)
        self.interrupt(problem)

    def overdue(self) -> ReadTimeoutError:
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._deadline.at_s:
            return ReadTimeoutError(f"no whole body {self._deadline.within}")
        return ReadTimeoutError(
            f"{self._arrived_bytes} bytes of the body arrived in {now_s - self._began_s:.1f} s; "
            f"the least is {self._budget.min_bytes_per_s} a second after {GRACE_S:g} s; send it "
            "faster, or lower FCNSERVE_MIN_BODY_BYTES_PER_S"
        )

    def _decayed(self, now_s: float) -> float:
        return self._recent_bytes * math.exp((self._last_s - now_s) / RATE_WINDOW_S)
