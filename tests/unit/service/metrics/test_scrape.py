"""`/metrics` takes a bounded share of a processor, however often it is scraped."""

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from service.metrics.scrape import MAX_PAUSE_S, MAX_SHARE, Scrape


def work(seconds: float) -> None:
    """Use so much processor time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


class Slow(Collector):
    """A slow collector, which counts its collections."""

    def __init__(self, seconds: float, take: Callable[[float], None] = work) -> None:
        self.seconds = seconds
        self.take = take
        self.collected = 0

    def collect(self) -> Iterator[CounterMetricFamily]:
        self.take(self.seconds)
        self.collected += 1
        yield CounterMetricFamily("collections", "so far", self.collected)


async def test_concurrent_scrapes_share_a_rendering() -> None:
    registry, slow = CollectorRegistry(auto_describe=False), Slow(0.01)
    registry.register(slow)
    before, scrape = slow.collected, Scrape(registry)
    texts = await asyncio.gather(*(scrape.text() for _ in range(100)))
    assert len(set(texts)) == 1
    assert slow.collected == before + 1


async def test_constant_scrapes_take_a_small_share_of_the_time() -> None:
    registry, slow = CollectorRegistry(auto_describe=False), Slow(0.02)
    registry.register(slow)
    before, scrape = slow.collected, Scrape(registry)
    began = time.monotonic()
    for _ in range(3):
        await asyncio.gather(*(scrape.text() for _ in range(20)))
    taken_s = (slow.collected - before - 1) * slow.seconds  # the pause of the last one comes later
    assert taken_s <= (time.monotonic() - began) * MAX_SHARE


@pytest.mark.parametrize(
    ("take", "seconds", "pause_s"),
    [(work, 0.02, 0.4), (work, 0.3, MAX_PAUSE_S), (time.sleep, 0.3, 0.0)],
    ids=["work", "much-work", "waiting"],
)
async def test_the_next_scrape_is_delayed_by_processor_time_only(
    take: Callable[[float], None], seconds: float, pause_s: float
) -> None:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Slow(seconds, take))
    scrape = Scrape(registry)
    before = time.monotonic()
    await scrape.text()
    after = time.monotonic()
    assert before + pause_s <= scrape._next_at
    if take is time.sleep or pause_s == MAX_PAUSE_S:
        assert scrape._next_at <= after + max(pause_s, MAX_PAUSE_S / 2)


async def test_values_are_never_older_than_the_scrape() -> None:
    registry = CollectorRegistry()
    counter, scrape = Counter("seen", "", registry=registry), Scrape(registry)
    for number in range(1, 4):
        counter.inc()
        assert f"seen_total {number}.0" in (await scrape.text()).decode()


async def test_a_cancelled_scrape_cancels_no_other() -> None:
    registry = CollectorRegistry()
    registry.register(Slow(0.02))
    scrape = Scrape(registry)
    leaving = asyncio.create_task(scrape.text())
    staying = asyncio.create_task(scrape.text())
    await asyncio.sleep(0)
    leaving.cancel()
    assert b"collections" in await staying
