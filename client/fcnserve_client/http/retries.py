"""When a request is sent again, and when no more: one total time for all attempts and waits.

In: a failure. Out: the wait until the next attempt, or the failure, raised. Called by
`fcnserve_client.http.core`. Time and chance are arguments, so that tests decide both.
"""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fcnserve_client.errors import FcnserveError, RequestTimeoutError

FIRST_WAIT_S, LONGEST_WAIT_S, MOST_DOUBLED = 0.25, 8.0, 5

logger: logging.Logger = logging.getLogger("fcnserve_client")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The total time of a call in seconds, and how many times at most a request is sent again."""

    timeout_s: float
    max_retries: int
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random

    def begin(self) -> "Budget":
        return Budget(self, self.clock() + self.timeout_s)


@dataclass(slots=True)
class Budget:
    """What one call has left."""

    policy: RetryPolicy
    ends_at: float
    retries: int = 0
    last: FcnserveError | None = field(default=None, repr=False)

    @property
    def left_s(self) -> float:
        return self.ends_at - self.policy.clock()

    def wait_after(self, error: FcnserveError) -> float:
        """Return the seconds to wait; raises the error where no other attempt is to be made.

        Full jitter (Brooker, "Exponential Backoff and Jitter", AWS 2015) on top of `Retry-After`:
        clients that were refused together do not come back together.
        """
        if isinstance(error, RequestTimeoutError):
            raise error from self.last
        doubled = min(self.retries, MOST_DOUBLED)  # a float ends at 2**1023
        jitter_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0**doubled) * self.policy.chance()
        wait_s = (error.retry_after or 0.0) + jitter_s
        is_over = self.retries >= self.policy.max_retries or wait_s >= self.left_s
        if not error.is_transient or is_over:
            raise error
        self.retries += 1
        self.last = error
        logger.info("retry %d in %.2f s: %s", self.retries, wait_s, error)
        return wait_s
