"""`/metrics` costs little however often it is asked for; and HEAD is GET without a body."""

import asyncio
import resource
import time
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from structlog.testing import capture_logs

from service.metrics.scrape import MAX_PAUSE_S, MAX_SHARE, Scrape
from service.server.open_files import OTHER_FILES, allow_open_files, within_open_files
from service.server.server import uvicorn_options
from service.settings import Settings
from tests.support.fakes import running
from tests.unit.service.server.test_connections import connected, on_uvloop


def work(seconds: float) -> None:
    """Take a processor's time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


class Slow(Collector):
    """A registry's part that takes its time, and counts."""

    def __init__(self, seconds: float, take: Callable[[float], None] = work) -> None:
        self.seconds = seconds
        self.take = take
        self.collected = 0

    def collect(self) -> Iterator[CounterMetricFamily]:
        self.take(self.seconds)
        self.collected += 1
        yield CounterMetricFamily("collections", "so far", self.collected)


async def test_scrapes_that_come_together_share_a_rendering() -> None:
    registry, slow = CollectorRegistry(auto_describe=False), Slow(0.01)
    registry.register(slow)
    before, scrape = slow.collected, Scrape(registry)
    texts = await asyncio.gather(*(scrape.text() for _ in range(100)))
    assert len(set(texts)) == 1
    assert slow.collected == before + 1


async def test_scrapes_without_end_take_a_small_share_of_the_time() -> None:
    registry, slow = CollectorRegistry(auto_describe=False), Slow(0.02)
    registry.register(slow)
    before, scrape = slow.collected, Scrape(registry)
    began = time.monotonic()
    for _ in range(3):
        await asyncio.gather(*(scrape.text() for _ in range(20)))
    taken_s = (slow.collected - before - 1) * slow.seconds  # the last one is paid for later
    assert taken_s <= (time.monotonic() - began) * MAX_SHARE


@pytest.mark.parametrize(
    ("take", "seconds", "pause_s"),
    [(work, 0.02, 0.4), (work, 0.3, MAX_PAUSE_S), (time.sleep, 0.3, 0.0)],
    ids=["work", "much-work", "waiting"],
)
async def test_the_next_scrape_waits_for_work_and_not_for_waiting(
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


async def test_figures_are_never_older_than_the_scrape() -> None:
    registry = CollectorRegistry()
    counter, scrape = Counter("seen", "", registry=registry), Scrape(registry)
    for number in range(1, 4):
        counter.inc()
        assert f"seen_total {number}.0" in (await scrape.text()).decode()


async def test_a_scraper_that_leaves_takes_no_other_one_along() -> None:
    registry = CollectorRegistry()
    registry.register(Slow(0.02))
    scrape = Scrape(registry)
    leaving = asyncio.create_task(scrape.text())
    staying = asyncio.create_task(scrape.text())
    await asyncio.sleep(0)
    leaving.cancel()
    assert b"collections" in await staying


GET_ROUTES = ("/livez", "/readyz", "/metrics", "/v1/models", "/v1/models/fcn8s-lite2")


@pytest.mark.parametrize("path", [*GET_ROUTES, "/docs", "/openapi.json", "/"])
@on_uvloop
async def test_head_gives_what_get_gives_without_the_body(path: str) -> None:
    async with running() as gateway, connected(gateway) as client:
        await gateway.ready()
        answer = await gateway.http.get(path)
        await client.send(b"HEAD %b HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
        async with asyncio.timeout(10):
            top = (await client.reader.readuntil(b"\r\n\r\n")).decode()
        assert top.startswith(f"HTTP/1.1 {answer.status_code} ")
        assert "\r\ncontent-length: " in top
        if path != "/metrics":  # which has moved on
            assert f"\r\ncontent-length: {answer.headers['content-length']}\r\n" in top
        await client.send(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await client.answer()).json() == {"status": "alive"}  # nothing lies in between


async def test_head_is_counted_by_its_route_and_refused_where_get_is() -> None:
    async with running() as gateway:
        assert (await gateway.http.head("/v1/models/none")).status_code == 404
        assert (await gateway.http.head("/v1/segment")).status_code == 405
        assert (await gateway.http.head("/livez")).status_code == 200
        assert gateway.value("fcnserve_requests_total", route="/livez", status="200") == 1


@pytest.fixture
def most_files(monkeypatch: pytest.MonkeyPatch) -> int:
    """A machine that allows no more than 400 open files."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 400))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    return 400


def test_few_open_files_are_told_and_bound_the_connections(most_files: int) -> None:
    with capture_logs() as logs:
        settings = within_open_files(Settings(max_connections=1024, gateway_processes=2))
    (line,) = logs
    assert (line["open_files"], line["needed"]) == (most_files, 2 * 512 + OTHER_FILES)
    assert settings.max_connections == 2 * line["max_connections"] == 200 // 2 * 2
    assert "FCNSERVE_MAX_CONNECTIONS" in line["event"]


def test_enough_open_files_are_no_news(most_files: int) -> None:
    with capture_logs() as logs:
        assert allow_open_files((most_files - OTHER_FILES) // 2) == (most_files - OTHER_FILES) // 2
    assert logs == []


def test_a_grace_of_less_than_a_second_is_not_none() -> None:
    assert uvicorn_options(Settings(shutdown_grace_s=0.5))["timeout_graceful_shutdown"] == 0.5
