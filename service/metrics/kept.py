"""prometheus_client's metrics, which keep what is counted in plain Python until a scrape: a metric
costs a request a tenth of what it would cost by itself.

prometheus_client takes a lock for each number, searches a histogram's buckets one by one and, with
several processes, writes each number into a file. Here a count is an addition and an observation
an append, and a gauge may follow a number that exists anyway; `flush` passes them on, a thousand
at a time. A scrape of this process flushes before it
reads. With several processes each flushes every FLUSH_S (`flushing`), since another one may be
scraped. Metrics change in the event loop's thread only; any thread may flush. Made by the groups of
`service.metrics`.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Protocol
from weakref import WeakSet

import numpy as np
import prometheus_client
from prometheus_client.samples import Sample

from service.tasks.background import in_background

# with several processes; a scrape waits for as long (`service.metrics.scrape`)
FLUSH_S = 0.05
MAX_KEPT = 1000


class Kept(Protocol):
    """A metric without labels, or with all of them."""

    def flush(self) -> None:
        """Pass on what is kept."""


_flushing = threading.Lock()
_all: WeakSet[Kept] = WeakSet()


def flush_all() -> None:
    """Pass on what all metrics of this process keep."""
    for metric in list(_all):
        metric.flush()


@asynccontextmanager
async def flushing() -> AsyncIterator[None]:
    """Flush every FLUSH_S while the block runs, and at its end."""

    async def flush() -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            flush_all()

    try:
        async with in_background(flush()):
            yield
    finally:
        flush_all()


class Counter(prometheus_client.Counter):
    """A counter that adds up in Python."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._total = self._flushed = 0.0
        _all.add(self)

    def inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:  # noqa: ARG002 - none are used
        self._total += amount

    def flush(self) -> None:
        with _flushing:
            total = self._total  # another thread may go on counting
            if total != self._flushed:
                self._value.inc(total - self._flushed)
                self._flushed = total

    def _child_samples(self) -> Iterable[Sample]:
        self.flush()
        return super()._child_samples()


class Gauge(prometheus_client.Gauge):
    """A gauge whose value is kept in Python."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._now = self._flushed = 0.0
        self._read: Callable[[], float] | None = None
        _all.add(self)

    def follow(self, read: Callable[[], float]) -> None:
        """Show what `read` returns at each flush, from any thread, instead of what is set."""
        self._read = read

    def set(self, value: float) -> None:
        self._now = value

    def inc(self, amount: float = 1) -> None:
        self._now += amount

    def dec(self, amount: float = 1) -> None:
        self._now -= amount

    def flush(self) -> None:
        with _flushing:
            now = self._now if self._read is None else self._read()
            if now != self._flushed:
                super().set(now)
                self._flushed = now

    def _child_samples(self) -> Iterable[Sample]:
        self.flush()
        return super()._child_samples()


class Histogram(prometheus_client.Histogram):
    """A histogram whose observations wait in a list."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._kept: list[float] = []
        _all.add(self)

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:  # noqa: ARG002
        self._kept.append(amount)
        if len(self._kept) >= MAX_KEPT:
            self.flush()

    def flush(self) -> None:
        with _flushing:
            count = len(self._kept)  # another thread may append more
            if count == 0:
                return
            kept = self._kept[:count]
            del self._kept[:count]
            self._sum.inc(sum(kept))
            buckets = np.bincount(np.searchsorted(self._upper_bounds, kept))
            for bucket in np.flatnonzero(buckets):
                self._buckets[bucket].inc(int(buckets[bucket]))

    def _child_samples(self) -> Iterable[Sample]:
        self.flush()
        return super()._child_samples()
