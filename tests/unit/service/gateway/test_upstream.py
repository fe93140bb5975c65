"""A worker that is slow, gone or broken, and too many requests: nobody waits for ever, and every
place is given back.
"""

import asyncio
import time
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from handlers.shared.wire import MODEL_HEADER, REPORT_HEADER, WorkerOptions
from service.backend.client import TorchServeClient
from service.errors import BusyError, WorkerCrashedError
from service.metrics.queue import QueueMetrics
from service.pipeline.admission import Admission
from service.pipeline.answer_rate import MAX_RETRY_AFTER_S
from service.pipeline.disconnect import while_connected
from service.pipeline.limits import AdmissionLimits, InFlight
from tests.support.fakes import CAT, FakeTorchServe, running, until

MODEL = "fcn8s-lite2"

FAULTS = {
    "503": lambda torchserve: torchserve.own_error(503),
    "507": lambda torchserve: torchserve.own_error(507),
    "hangs-up": lambda torchserve: torchserve.hangs_up,
    "breaks-off": lambda torchserve: torchserve.breaks_off,
    "hangs": lambda torchserve: torchserve.hangs,
    "junk": lambda torchserve: torchserve.raw_mask(b"junk"),
    "other-release": lambda torchserve: torchserve.raw_mask(b"", **{"X-Fcnserve-Report": "[1]"}),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_after_any_fault_the_place_is_free_and_the_next_photo_is_answered(name: str) -> None:
    async with running(max_in_flight=1) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = FAULTS[name](gateway.torchserve)
        for _ in range(3):
            failed = await gateway.segment(output="labels", timeout_ms=200)
            assert failed.status_code in {500, 502, 503, 504}
            assert gateway.in_flight == 0
        gateway.torchserve.fault = None
        assert (await gateway.segment(output="labels")).status_code == 200


@pytest.mark.parametrize("status", [400, 404, 500, 503, 507])
async def test_a_failing_card_is_a_problem_and_not_remembered(status: int) -> None:
    torchserve = FakeTorchServe()
    torchserve.fault = torchserve.own_error(status)
    async with running(torchserve) as gateway:
        answer = await gateway.http.get("/v1/models")
        assert answer.status_code == (503 if status in {404, 503} else 502)
        torchserve.fault = None
        assert (await gateway.http.get("/v1/models")).status_code == 200


@pytest.mark.parametrize("card", [b"{}", b"junk", b""])
async def test_a_card_of_another_release_is_said_to_be_one(card: bytes) -> None:
    torchserve = FakeTorchServe()
    torchserve.fault = torchserve.raw_card(card)
    async with running(torchserve) as gateway:
        answer = await gateway.http.get("/v1/models/fcn8s-lite2")
        assert answer.json()["code"] == "worker_failed"
        assert "same release" in answer.json()["detail"]


async def test_a_card_that_does_not_come_has_a_deadline() -> None:
    torchserve = FakeTorchServe()
    torchserve.fault = torchserve.hangs
    async with running(torchserve, timeout_ms=50) as gateway:
        answer = await gateway.http.get("/v1/models")
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")


async def test_a_card_is_asked_for_once_however_many_wait() -> None:
    torchserve = FakeTorchServe()
    torchserve.fault = torchserve.hangs
    async with running(torchserve, ready_window_s=60) as gateway:  # its canary hangs, too
        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(gateway.http.get("/v1/models")) for _ in range(8)]
            await until(lambda: torchserve.card_requests)
            torchserve.released.set()
        assert {answer.result().status_code for answer in answers} == {200}
        assert len(torchserve.card_requests) == 1


async def test_a_slow_model_is_given_the_time_that_it_takes() -> None:
    torchserve = FakeTorchServe(response_timeout_s=60)
    async with running(torchserve, attempt_timeout_s=0.2) as gateway:
        await gateway.ready()
        torchserve.fault = torchserve.hangs
        sent = time.monotonic()
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(gateway.segment())
            await until(lambda: time.monotonic() - sent > 3 * 0.2)
            torchserve.released.set()
        assert answer.result().status_code == 200
        assert len(torchserve.photos) == 1


async def test_the_default_deadline_is_a_setting() -> None:
    async with running(timeout_ms=60) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.hangs
        assert "within 60 ms" in (await gateway.segment()).json()["detail"]


async def test_beyond_the_bound_requests_are_turned_away_and_the_others_are_not_harmed() -> None:
    async with running(max_in_flight=3) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.hangs
        async with asyncio.TaskGroup() as group:
            accepted = [group.create_task(gateway.segment()) for _ in range(3)]
            await until(lambda: len(gateway.torchserve.photos) == 3)
            refused = await asyncio.gather(*(gateway.segment() for _ in range(20)))
            assert gateway.in_flight == 3
            gateway.torchserve.released.set()
        assert {answer.status_code for answer in refused} == {429}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert {task.result().content for task in accepted} == {(await gateway.segment()).content}
        assert len(gateway.torchserve.photos) == 4
        assert gateway.in_flight == 0


@pytest.mark.parametrize("path", ["/v1/segment", "/v1/segment/batch"])
async def test_a_full_house_says_so_before_it_looks_at_anything(path: str) -> None:
    async with running(max_in_flight=1) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.hangs
        async with asyncio.TaskGroup() as group:
            group.create_task(gateway.segment())
            await until(lambda: gateway.in_flight == 1)
            refused = await gateway.http.post(f"{path}?unknown=1", content=b"no photo")
            gateway.torchserve.released.set()
        assert (refused.status_code, refused.json()["code"]) == (429, "busy")
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["x-request-id"]
        sample = {"route": path, "status": "429", "code": "busy"}
        assert gateway.value("fcnserve_requests_total", **sample) == 1


async def test_a_client_that_leaves_gives_its_place_back() -> None:
    async with running(max_in_flight=1) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.hangs
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        head = f"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Length: {len(CAT)}\r\n\r\n"
        writer.write(head.encode() + CAT)
        await until(lambda: gateway.in_flight == 1)
        writer.close()
        gateway.torchserve.released.set()
        await until(lambda: gateway.in_flight == 0)
        gateway.torchserve.fault = None
        assert (await gateway.segment()).status_code == 200


async def test_slow_senders_are_told_and_have_held_no_places() -> None:
    async with running(max_in_flight=2, timeout_ms=100) as gateway:
        head = b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
        answers = await asyncio.gather(gateway.raw(head), gateway.raw(head + b"some"))
        for answer in answers:  # raw returns: the gateway has closed the connection
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"connection: close" in answer
        assert gateway.in_flight == 0


async def test_a_hundred_requests_at_once_come_back_to_their_senders() -> None:
    async with running(max_in_flight=100) as gateway:
        await gateway.ready()
        tails = [str(number).encode() for number in range(100)]
        answers = await asyncio.gather(
            *(
                gateway.segment(CAT + tail, headers={"X-Request-ID": tail.decode()})
                for tail in tails
            )
        )
        assert [answer.headers["x-request-id"].encode() for answer in answers] == tails
        assert {answer.status_code for answer in answers} == {200}
        assert {call.body for call in gateway.torchserve.photos} == {CAT + tail for tail in tails}


async def test_connections_to_the_worker_stay_open() -> None:
    async with running() as gateway:
        await gateway.ready()
        for _ in range(5):
            await gateway.segment()
        connector = gateway.components.segmenter.dispatch.attempts.client._session.connector
        assert connector is not None
        assert sum(len(idle) for idle in connector._conns.values()) == 1


@dataclass
class Line:
    """A server of one answer a connection, after which it does as it is told."""

    then: bytes = b""  # sent before it closes
    answers_first: bool = True
    requests: int = 0

    async def connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        for has_answer in (self.answers_first, False):
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            except IncompleteReadError:
                break  # the client is done
            await reader.readexactly(int(head.partition("content-length: ")[2].split()[0]))
            self.requests += 1
            if not has_answer:
                writer.write(self.then)
                break
            writer.write(ANSWER)
        writer.close()


REPORT = '{"stages_ms":{},"batch_images":null,"group":null,"class_pixels":{}}'
ANSWER = (
    f"HTTP/1.1 200 OK\r\n{MODEL_HEADER}: m@0\r\n{REPORT_HEADER}: {REPORT}\r\n"
    "Content-Length: 4\r\n\r\nmask"
).encode()


@asynccontextmanager
async def upstream_to(line: Line) -> AsyncIterator[TorchServeClient]:
    server = await asyncio.start_server(line.connected, "127.0.0.1", 0)
    upstream = TorchServeClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server:
        try:
            yield upstream
        finally:
            await upstream.close()


async def test_a_connection_that_was_closed_meanwhile_is_tried_anew() -> None:
    line = Line()
    async with upstream_to(line) as upstream:
        for _ in range(3):
            assert (await upstream.send("m", b"photo", WorkerOptions(), 10)).body == b"mask"
    assert line.requests == 5  # the second and the third went out twice


async def test_a_new_connection_that_breaks_is_not_tried_anew() -> None:
    line = Line(answers_first=False)
    async with upstream_to(line) as upstream:
        with pytest.raises(WorkerCrashedError):
            await upstream.send("m", b"photo", WorkerOptions(), 10)
    assert line.requests == 1


@pytest.mark.parametrize("begun", [ANSWER[:1], ANSWER[:12], ANSWER[:60], ANSWER[:-2]])
async def test_an_answer_that_breaks_off_is_not_asked_for_anew(begun: bytes) -> None:
    line = Line(then=begun)
    async with upstream_to(line) as upstream:
        await upstream.send("m", b"photo", WorkerOptions(), 10)
        with pytest.raises(WorkerCrashedError):
            await upstream.send("m", b"photo", WorkerOptions(), 10)
    assert line.requests == 2


async def test_it_is_tried_anew_only_once() -> None:
    line = Line()
    async with upstream_to(line) as upstream:
        await upstream.send("m", b"photo", WorkerOptions(), 10)
        line.answers_first = False
        with pytest.raises(WorkerCrashedError):
            await upstream.send("m", b"photo", WorkerOptions(), 10)
    assert line.requests == 3


async def leave_when(gone: asyncio.Event) -> AsyncIterator[Message]:
    """What a server says to an application: the rest of a body, then that the client has left."""
    yield {"type": "http.request", "body": b""}
    await gone.wait()
    yield {"type": "http.disconnect"}


def request_until(gone: asyncio.Event) -> Request:
    return Request({"type": "http"}, leave_when(gone).__anext__)


async def test_a_client_that_has_left_ends_what_is_done_for_it() -> None:
    gone = asyncio.Event()

    async def serve() -> None:
        async with while_connected(request_until(gone)):
            gone.set()
            await asyncio.sleep(10)

    with pytest.raises(ClientDisconnect):
        await serve()


async def test_a_client_that_leaves_later_ends_nothing() -> None:
    gone = asyncio.Event()
    async with while_connected(request_until(gone)):
        await asyncio.sleep(0)
    gone.set()
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_is_cancelled_by_somebody_else_too_stays_cancelled() -> None:
    gone = asyncio.Event()

    async def serve() -> None:
        async with while_connected(request_until(gone)):
            await asyncio.Event().wait()

    task = asyncio.create_task(serve())
    await asyncio.sleep(0)
    gone.set()
    for _ in range(9):  # until it has been cancelled once, and before it can say so
        if not task.cancelling():
            await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_deadline_inside_a_connection_is_still_a_deadline() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), while_connected(request_until(asyncio.Event())):
            await asyncio.sleep(10)


def admission(max_in_flight: int = 4) -> Admission:
    limits = AdmissionLimits(max_in_flight, body_bytes=100, seconds=1000)
    return Admission(limits, QueueMetrics(CollectorRegistry()), [MODEL])


def test_without_experience_retry_after_is_a_second() -> None:
    assert admission().retry_after_s() == 1


def test_retry_after_is_what_the_rate_of_answers_promises(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    line = admission()
    with line.permit(MODEL), line.permit(MODEL), line.permit(MODEL):
        for _ in range(10):
            now[0] += 2.0
            with line.permit(MODEL):
                pass
        assert line.retry_after_s() == 6  # three in flight, one answer every 2 s
        with line.permit(MODEL), pytest.raises(BusyError) as caught, line.permit(MODEL):
            pass
        assert caught.value.retry_after_s == 8
        now[0] += 10_000
        assert line.retry_after_s() == MAX_RETRY_AFTER_S


def test_idle_hours_do_not_count_as_slowness(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    line = admission()
    with line.permit(MODEL):
        now[0] += 0.1
    now[0] += 3600
    with line.permit(MODEL), line.permit(MODEL):
        now[0] += 0.1
        with line.permit(MODEL):
            pass
        assert line.retry_after_s() == 1


def test_a_failure_inside_gives_the_place_back() -> None:
    line = admission(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), line.permit(MODEL):
            _ = 1 / 0
    assert line.in_flight.images == 0


@pytest.mark.parametrize("hold", ["add_bytes", "add_seconds"])
def test_what_requests_hold_is_bounded_and_given_back(hold: str) -> None:
    line = admission()
    limit = {"add_bytes": 100, "add_seconds": 1000}[hold]
    with line.permit(MODEL) as first:
        getattr(first, hold)(limit // 2)
        getattr(first, hold)(limit)  # it is alone: it would not fit any better later
        with line.permit(MODEL) as second, pytest.raises(BusyError, match=str(limit)):
            getattr(second, hold)(1)
    with line.permit(MODEL) as first, line.permit(MODEL) as second:
        getattr(first, hold)(limit // 2)
        getattr(second, hold)(limit // 2)
        assert (line.in_flight.body_bytes, line.in_flight.seconds).count(limit) == 1
    assert line.in_flight == InFlight()


def test_a_process_takes_its_part_of_what_may_be_in_flight() -> None:
    limits = AdmissionLimits(64, 1000, 2000)
    assert limits.share(1) == limits
    assert limits.share(4) == AdmissionLimits(16, 250, 500)
    assert limits.share(5000) == AdmissionLimits(1, 1, 0.4)
