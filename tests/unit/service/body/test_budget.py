"""Bodies that are arriving take no permit; the slowest is rejected where there is no room."""

import asyncio
import math
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from typing import Any

import pytest
from PIL import Image
from prometheus_client import CollectorRegistry

from handlers.shared.errors import ProblemError
from service.body.budget import BodyBudget
from service.deadline import Deadline
from service.errors import BusyError, ReadTimeoutError
from service.metrics.queue import QueueMetrics
from service.settings import Settings
from tests.support import photos
from tests.support.clock import on_uvloop
from tests.support.fakes import CAT, Gateway, running, until
from tests.unit.service.server.http1.test_connections import POST, connected

NEVER = Deadline(math.inf, "")


def budget_of(max_bytes: int = 1000, min_bytes_per_s: int = 10) -> BodyBudget:
    return BodyBudget(max_bytes, min_bytes_per_s, QueueMetrics(CollectorRegistry()))


async def test_the_slowest_bodies_are_rejected_first() -> None:
    budget, ended = budget_of(), []
    is_full = asyncio.Event()

    async def arrive(name: str, body_bytes: int) -> None:
        try:
            with budget.arriving(NEVER) as body:
                body.take(body_bytes)
                await is_full.wait()
        except ProblemError as problem:
            ended.append((name, problem.code))

    async with asyncio.TaskGroup() as group:
        for name, body_bytes in (("slow", 300), ("slower", 200), ("fast", 500)):
            group.create_task(arrive(name, body_bytes))
        await asyncio.sleep(0)
        assert ended == []
        group.create_task(arrive("new", 400))
        await until(lambda: len(ended) == 2)
        is_full.set()
    assert sorted(ended) == [("slow", "busy"), ("slower", "busy")]


async def test_a_body_that_stalls_is_slower_than_one_that_arrives() -> None:
    """However much of it has arrived."""
    budget = budget_of()

    async def stall() -> None:
        with budget.arriving(NEVER) as stalled:
            stalled.take(900)
            stalled._last_s -= 10  # s ago, by the loop's clock
            with budget.arriving(NEVER) as steady:
                steady.take(200)
            await asyncio.sleep(10)

    with pytest.raises(BusyError):
        await stall()


async def test_the_newest_body_is_rejected_where_it_is_the_slowest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "time", partial(float, loop.time()))  # both arrive at one moment
    budget = budget_of()
    with budget.arriving(NEVER) as fast:
        fast.take(900)
        with (
            pytest.raises(BusyError, match="FCNSERVE_MAX_READING_BYTES"),
            budget.arriving(NEVER) as slow,
        ):
            slow.take(101)
        fast.take(100)


@pytest.mark.parametrize("begun_bytes", [0, 1])
async def test_bodies_that_hold_next_to_nothing_are_never_rejected(begun_bytes: int) -> None:
    """To reject them would free nothing, however slow they are."""
    budget = budget_of()

    async def stall(stack: ExitStack) -> None:
        with budget.arriving(NEVER) as stalled:
            stalled.take(900)
            stalled._last_s -= 5  # s ago, by the loop's clock
            new = stack.enter_context(budget.arriving(NEVER))
            new.take(200)
            await asyncio.sleep(10)

    with ExitStack() as stack:
        begun = [stack.enter_context(budget.arriving(NEVER)) for _ in range(5)]
        for body in begun:
            body.take(begun_bytes)
            body._last_s -= 10
        with pytest.raises(BusyError):
            await stall(stack)
        for body in begun:
            body.take(1)


async def test_a_single_body_always_finds_room() -> None:
    with budget_of(max_bytes=10).arriving(NEVER) as body:
        body.take(1_000_000)


async def test_a_body_beside_others_that_hold_nothing_finds_room() -> None:
    budget = budget_of(max_bytes=10)
    with budget.arriving(NEVER) as begun:
        with budget.arriving(NEVER) as body:
            body.take(1_000_000)
        begun.take(10)


@pytest.mark.parametrize(
    ("total", "processes", "part"),
    [(200_000, 1, 200_000), (200_000, 4, 50_000), (200_000, 16, 40_000), (30_000, 16, 30_000)],
    ids=["one", "an-equal-part", "two-bodies", "no-more-than-all"],
)
def test_each_process_has_its_part_of_the_budget(total: int, processes: int, part: int) -> None:
    settings = Settings(max_reading_bytes=total, max_body_bytes=20_000)
    metrics = QueueMetrics(CollectorRegistry())
    assert BodyBudget.of(settings, metrics, processes).max_bytes == part


async def test_bytes_are_released_when_a_body_is_complete() -> None:
    budget = budget_of()
    with ExitStack() as stack:
        first = stack.enter_context(budget.arriving(NEVER))
        first.take(1000)
    with budget.arriving(NEVER) as second, budget.arriving(NEVER) as third:
        second.take(500)
        third.take(500)


async def test_a_body_has_to_arrive_at_the_least_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.body.budget.GRACE_S", 0.1)
    budget = budget_of(min_bytes_per_s=100)

    async def drip() -> None:
        with budget.arriving(NEVER) as body:
            began_s = body.due_s - 0.1
            body.take(20)
            assert body.due_s == pytest.approx(began_s + 0.1 + 0.2)
            body.take(1)
            await asyncio.sleep(10)

    began_s = asyncio.get_running_loop().time()
    with pytest.raises(ReadTimeoutError, match="FCNSERVE_MIN_BODY_BYTES_PER_S"):
        await drip()
    assert asyncio.get_running_loop().time() - began_s >= 0.3


DECLARED = [
    pytest.param(b"/v1/segment", b"image/jpeg", 5, b"", id="five-bytes"),
    pytest.param(b"/v1/segment", b"image/jpeg", 19_000_000, b"", id="19-mb"),
    pytest.param(b"/v1/segment/batch", b"multipart/form-data", 100_000_000, b"", id="100-mb"),
    pytest.param(b"/v1/segment", b"image/jpeg", 100_000, b"abc", id="begun"),
]


@pytest.mark.parametrize(("path", "content_type", "length", "begun"), DECLARED)
@on_uvloop
async def test_bodies_that_do_not_arrive_take_no_permit(
    path: bytes, content_type: bytes, length: int, begun: bytes
) -> None:
    async with running(max_in_flight=2, max_in_flight_bytes=150_000) as gateway:
        await gateway.ready()
        head = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
        async with AsyncExitStack() as stack:
            for _ in range(20):
                client = await stack.enter_async_context(connected(gateway))
                await client.send(head % (path, content_type, length) + begun)
            await until(lambda: gateway.value("fcnserve_bodies_reading") == 20)
            assert gateway.in_flight == 0
            answers = await asyncio.gather(*(gateway.segment() for _ in range(2)))
            assert [answer.status_code for answer in answers] == [200, 200]
        await until(lambda: gateway.value("fcnserve_bodies_reading") == 0)
        assert gateway.value("fcnserve_bytes_reading") == 0


async def busy_with_a_photo(gateway: Gateway, group: asyncio.TaskGroup) -> None:
    await gateway.ready()
    gateway.torchserve.fault = gateway.torchserve.hangs
    group.create_task(gateway.segment())
    await until(lambda: gateway.in_flight == 1)


@pytest.mark.parametrize(
    ("settings", "code"),
    [({"max_in_flight": 1}, 429), ({"max_in_flight_bytes": 40_000}, 429), ({}, 413)],
    ids=["permits", "bytes", "limit"],
)
@on_uvloop
async def test_a_body_without_room_is_refused_before_it_is_sent(
    settings: dict[str, Any], code: int
) -> None:
    headers = b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    async with (
        running(max_body_bytes=100_000, **settings) as gateway,
        asyncio.TaskGroup() as group,
        connected(gateway) as client,
    ):
        await busy_with_a_photo(gateway, group)
        await client.send(POST + headers % (len(CAT) if code == 429 else 100_001))
        answer = await client.answer()
        assert answer.status_code == code
        assert answer.headers["connection"] == "close"
        assert await client.closed() == b""
        gateway.torchserve.released.set()


@on_uvloop
async def test_a_body_with_room_gets_100_continue() -> None:
    async with running() as gateway, connected(gateway) as client:
        await client.send(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(CAT))
        async with asyncio.timeout(10):
            top = await client.reader.readuntil(b"\r\n\r\n")
        assert top == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(CAT)
        assert (await client.answer()).status_code == 200


@pytest.mark.parametrize(
    ("version", "length", "body"),
    [(b"1.0", b"Content-Length: 5\r\n", b"hello"), (b"1.1", b"", b"")],
    ids=["in-1.0", "no-body"],
)
@on_uvloop
async def test_http_1_0_and_requests_without_a_body_get_no_100_continue(
    version: bytes, length: bytes, body: bytes
) -> None:
    head = b"POST /v1/segment HTTP/%b\r\nHost: x\r\nExpect: 100-continue\r\n%b\r\n"
    async with running() as gateway, connected(gateway) as client:
        await gateway.ready()
        await client.send(head % (version, length) + body)
        async with asyncio.timeout(10):
            top = await client.reader.readuntil(b"\r\n")
        assert top.startswith(b"HTTP/1.1 400 ")


PARTS = b'--b\r\nContent-Disposition: form-data; name="images"; filename="f"\r\n\r\n'


@pytest.mark.parametrize(
    ("path", "content_type", "before", "after"),
    [
        (b"", b"image/jpeg", b"", b""),
        (b"/batch", b"multipart/form-data; boundary=b", PARTS, b"\r\n--b--\r\n"),
    ],
    ids=["one", "batch"],
)
@pytest.mark.parametrize(
    ("option", "status"), [(b"", 200), (b"?timeout_ms=600", 408)], ids=["own", "requested"]
)
@on_uvloop
async def test_a_body_may_take_longer_than_the_servers_own_deadline(
    path: bytes, content_type: bytes, before: bytes, after: bytes, option: bytes, status: int
) -> None:
    """As long as it arrives at the least rate; a requested deadline counts from the start."""
    body = before + CAT + after
    head = POST.replace(b" HTTP", b"%b%b HTTP") + b"Content-Type: %b\r\nContent-Length: %d\r\n\r\n"
    async with running(timeout_ms=600) as gateway, connected(gateway) as client:
        await gateway.ready()
        await client.send(head % (path, option, content_type, len(body)) + body[:-100])
        await asyncio.sleep(1.0)
        await client.send(body[-100:])
        assert (await client.answer()).status_code == status


@on_uvloop
async def test_the_servers_own_deadline_applies_once_the_body_is_complete() -> None:
    async with running(timeout_ms=300) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.hangs
        answer = await gateway.segment()
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")


@on_uvloop
async def test_a_slow_body_is_rejected_for_a_fast_one() -> None:
    async with running(max_reading_bytes=200_000) as gateway:
        await gateway.ready()
        async with connected(gateway) as slow, connected(gateway) as fast:
            await slow.send(POST + b"Content-Length: 190000\r\n\r\n" + bytes(180_000))
            await until(lambda: gateway.value("fcnserve_bytes_reading") == 180_000)
            await asyncio.sleep(0.5)
            await fast.send(POST + b"Content-Length: %d\r\n\r\n" % len(CAT) + CAT[:-1])
            answer = await slow.answer()
            await fast.send(CAT[-1:])
            assert (await fast.answer()).status_code == 200
            assert (answer.status_code, answer.json()["code"]) == (429, "busy")
            assert "FCNSERVE_MAX_READING_BYTES" in answer.json()["detail"]


@on_uvloop
async def test_a_body_that_arrives_with_its_head_needs_no_room() -> None:
    async with running(max_reading_bytes=200_000) as gateway:
        await gateway.ready()
        photo = photos.jpeg(Image.fromarray(photos.photo(30, 40)))  # of one packet
        async with connected(gateway) as slow, connected(gateway) as fast:
            await slow.send(POST + b"Content-Length: 300000\r\n\r\n" + bytes(200_000))
            await until(lambda: gateway.value("fcnserve_bytes_reading") == 200_000)
            await fast.send(POST + b"Content-Length: %d\r\n\r\n" % len(photo) + photo)
            assert (await fast.answer()).status_code == 200
            assert gateway.value("fcnserve_bytes_reading") == 200_000
