"""Metrics that keep their numbers until a scrape show what prometheus_client's own would show."""

import asyncio
import threading
from collections.abc import Callable

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from service.metrics import kept
from service.metrics.kept import MAX_KEPT, Counter, Gauge, Histogram, flush_all, flushing

BUCKETS = (0.5, 1, 2, 10)
numbers = st.lists(st.integers(0, 40).map(lambda quarter: quarter / 4), max_size=30)


def text(registry: CollectorRegistry) -> str:
    lines = generate_latest(registry).decode().splitlines()
    return "\n".join(line for line in lines if "_created" not in line)


@given(numbers)
def test_observations_fall_into_the_same_buckets(amounts: list[float]) -> None:
    registries = []
    for kind in (Histogram, prometheus_client.Histogram):
        registries.append(CollectorRegistry())
        histogram = kind("a", "", ["b"], buckets=BUCKETS, registry=registries[-1])
        for amount in amounts:
            histogram.labels("c").observe(amount)
    assert text(registries[0]) == text(registries[1])


@given(numbers, st.booleans())
def test_sums_are_the_same(amounts: list[float], scraped_between: bool) -> None:
    registries = []
    for module in (kept, prometheus_client):
        registry = CollectorRegistry()
        registries.append(registry)
        counter: prometheus_client.Counter = module.Counter("a", "", registry=registry)
        gauge: prometheus_client.Gauge = module.Gauge("b", "", ["c"], registry=registry)
        for amount in amounts:
            counter.inc(amount)
            gauge.labels("d").inc(amount)
            gauge.labels("d").dec(2 * amount)
            gauge.labels("e").set(amount)
            if scraped_between:
                text(registry)
    assert text(registries[0]) == text(registries[1])


def test_a_gauge_follows_a_number() -> None:
    registry, numbers = CollectorRegistry(), [1.0, 2.0]
    gauge = Gauge("a", "", ["b"], registry=registry)
    gauge.labels("c").follow(lambda: sum(numbers))
    gauge.labels("c").follow(numbers.pop)  # the last one counts
    assert registry.get_sample_value("a", {"b": "c"}) == 2
    assert registry.get_sample_value("a", {"b": "c"}) == 1


def test_observations_without_a_scrape_do_not_accumulate() -> None:
    histogram = Histogram("a", "", buckets=BUCKETS, registry=None)
    for _ in range(3 * MAX_KEPT):
        histogram.observe(1)
        assert len(histogram._kept) < MAX_KEPT
    assert histogram._sum.get() == 3 * MAX_KEPT


@pytest.mark.parametrize("kind", ["counter", "histogram"])
def test_scrapes_in_other_threads_lose_and_double_nothing(kind: str) -> None:
    registry, is_over = CollectorRegistry(), threading.Event()
    counter = Counter("a", "", registry=registry)
    histogram = Histogram("b", "", buckets=BUCKETS, registry=registry)
    count: Callable[[float], None] = counter.inc if kind == "counter" else histogram.observe
    name = "a_total" if kind == "counter" else "b_count"

    def scrape() -> None:
        while not is_over.is_set():
            registry.get_sample_value(name)

    threads = [threading.Thread(target=scrape) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(20_000):
        count(1)
    is_over.set()
    for thread in threads:
        thread.join()
    assert registry.get_sample_value(name) == 20_000


async def test_numbers_are_passed_on_without_a_scrape_where_another_process_may_be_scraped() -> (
    None
):
    counter = Counter("a", "", registry=None)
    async with flushing():
        counter.inc()
        async with asyncio.timeout(10):
            while counter._value.get() == 0:  # noqa: ASYNC110 - as another process sees it
                await asyncio.sleep(0.005)
        counter.inc()
    assert counter._value.get() == 2


def test_flushing_passes_on_gauges_too() -> None:
    gauge = Gauge("a", "", registry=None)
    gauge.set(3)
    assert gauge._value.get() == 0
    flush_all()
    assert gauge._value.get() == 3
