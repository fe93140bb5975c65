"""The rate limit of a key, in images a second: one token bucket a key. Called by
`service.auth.authenticator`.

An image takes a token, and tokens return at the key's rate, up to the burst. The images of a batch
are known only when its body has been read; those beyond the first are charged then, on credit if
necessary, so that no batch is refused after it was read, and its key waits longer.

A bucket is stored as the time at which it will be full again (the generic cell rate algorithm,
ITU-T I.371), in a table that all gateway processes share: the rate applies to all of them together.

Our own, because slowapi and the `limits` package behind it count in windows, share counts between
processes only through a server such as Redis, and cannot charge on credit.
"""

import math
import time
from collections.abc import Callable

from service.auth.shared_table import SharedTable
from service.errors import RateLimitedError

# rounding errors of sums are smaller; at the highest rate, this is ten tokens
ROUNDING_S = 1e-5


class RateLimiter:
    """A bucket for each key that was used lately."""

    def __init__(
        self,
        per_s: float,
        burst: float,
        table: SharedTable | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the rate, the burst, and the table where processes share the buckets; `now` is one
        clock for all processes, as the machine's monotonic clock is.
        """
        self._per_s = per_s
        self._token_s = 1 / per_s
        self._fill_s = max(1.0, burst) / per_s
        self._table = SharedTable() if table is None else table
        self._now = now

    def spend(self, key: str) -> None:
        """Take a token; raises RateLimitedError where there is none."""
        now = self._now()
        with self._table.changing(key, now) as full_at:
            full_with_one_less_at = max(full_at.value, now) + self._token_s
            wait_s = full_with_one_less_at - now - self._fill_s
            if wait_s > ROUNDING_S:
                raise RateLimitedError(
                    f"this key may send {self._per_s:g} images a second; try again after "
                    "Retry-After, or have FCNSERVE_KEY_RATE_PER_S raised",
                    max(1, math.ceil(wait_s - ROUNDING_S)),
                )
            full_at.value = full_with_one_less_at

    def charge(self, key: str, images: int) -> None:
        """Take tokens for images that are accepted already, on credit where there are none."""
        now = self._now()
        with self._table.changing(key, now) as full_at:
            full_at.value = max(full_at.value, now) + images * self._token_s
