"""How many images a key may send a second: a bucket of tokens for each. Called by
`service.auth.authenticator`.

An image takes a token out, and tokens come back at the key's rate, up to the burst. The images of a
batch are known only when its body has been read; those beyond the first are charged then, if need
be on credit, so that a batch is never turned away half read and its key waits the longer.

Of a bucket only the moment is kept at which it will be full again (the generic cell rate algorithm,
ITU-T I.371), in a table that all gateway processes share: a rate holds for all of them together.
"""

import math
import time
from collections.abc import Callable

from service.auth.shared_table import SharedTable
from service.errors import RateLimitedError

# sums of moments are off by less; at the highest rate, these are ten tokens
ROUNDING_S = 1e-5


class RateLimiter:
    """A bucket for each key that has been seen lately."""

    def __init__(
        self,
        per_s: float,
        burst: float,
        table: SharedTable | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the rate, the burst, and where processes share the buckets; `now` is one clock for
        all of them, as the machine's monotonic one is.
        """
        self._per_s = per_s
        self._token_s = 1 / per_s
        self._fill_s = max(1.0, burst) / per_s
        self._table = SharedTable() if table is None else table
        self._now = now

    def spend(self, key: str) -> None:
        """Take a token out; raises RateLimitedError where there is none."""
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
        """Take tokens out for what is accepted already, whether there are any or not."""
        now = self._now()
        with self._table.changing(key, now) as full_at:
            full_at.value = max(full_at.value, now) + images * self._token_s
