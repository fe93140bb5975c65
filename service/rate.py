"""How many images a key may send a second: a bucket of tokens for each. Called by `service.gate`.

An image takes a token out, and tokens come back at the key's rate, up to the burst. The images of a
batch are known only when its body has been read; those beyond the first are charged then, if need
be on credit, so that a batch is never turned away half read and its key waits the longer.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from service.errors import RateLimitedError
from service.keys import MAX_KEYS


@dataclass(slots=True)
class Bucket:
    """How many tokens there were at a moment; below zero is credit."""

    tokens: float
    at: float


class Rates:
    """A bucket for each key that has been seen lately."""

    def __init__(
        self, per_s: float, burst: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_s = per_s
        self._burst = max(1.0, burst)
        self._now = now
        self._buckets: dict[str, Bucket] = {}

    def spend(self, key: str) -> None:
        """Take a token out; raises RateLimitedError where there is none."""
        bucket = self._filled(key)
        if bucket.tokens < 1:
            wait_s = (1 - bucket.tokens) / self._per_s
            raise RateLimitedError(
                f"this key may send {self._per_s:g} images a second; come back after Retry-After, "
                "or have FCNSERVE_KEY_RATE_PER_S raised",
                max(1, math.ceil(wait_s)),
            )
        bucket.tokens -= 1

    def charge(self, key: str, images: int) -> None:
        """Take tokens out for what is accepted already, whether there are any or not."""
        self._filled(key).tokens -= images

    def _filled(self, key: str) -> Bucket:
        now = self._now()
        if len(self._buckets) > 2 * MAX_KEYS:  # keys that the file has no more
            self._forget_full(now)
        bucket = self._buckets.setdefault(key, Bucket(self._burst, now))
        bucket.tokens = self._tokens(bucket, now)
        bucket.at = now
        return bucket

    def _tokens(self, bucket: Bucket, now: float) -> float:
        return min(self._burst, bucket.tokens + (now - bucket.at) * self._per_s)

    def _forget_full(self, now: float) -> None:
        self._buckets = {
            key: bucket
            for key, bucket in self._buckets.items()
            if self._tokens(bucket, now) < self._burst
        }
