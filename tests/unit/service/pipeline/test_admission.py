"""Admission: beyond the limits requests are rejected at once, and permits are given back."""

import asyncio
import time

import pytest
from prometheus_client import CollectorRegistry

from service.errors import BusyError
from service.metrics.queue import QueueMetrics
from service.multiprocess.group import ProcessGroup
from service.pipeline.admission import Admission
from service.pipeline.answer_rate import MAX_RETRY_AFTER_S
from service.pipeline.limits import AdmissionLimits, InFlight
from tests.support.fakes import running, until

MODEL = "fcn8s-lite2"


async def test_requests_beyond_the_limit_are_rejected_and_the_others_are_answered() -> None:
    async with running(max_in_flight=3) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.hangs
        async with asyncio.TaskGroup() as group:
            accepted = [group.create_task(gateway.segment()) for _ in range(3)]
            await until(lambda: gateway.in_flight == 3)
            rejected = await asyncio.gather(*(gateway.segment() for _ in range(20)))
            assert gateway.in_flight == 3
            gateway.torchserve.released.set()
        assert {answer.status_code for answer in rejected} == {429}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in rejected)
        assert {task.result().content for task in accepted} == {(await gateway.segment()).content}
        assert len(gateway.torchserve.photos) == 4
        assert gateway.in_flight == 0


@pytest.mark.parametrize("path", ["/v1/segment", "/v1/segment/batch"])
async def test_a_full_gateway_rejects_a_request_before_reading_it(path: str) -> None:
    async with running(max_in_flight=1) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.hangs
        async with asyncio.TaskGroup() as group:
            group.create_task(gateway.segment())
            await until(lambda: gateway.in_flight == 1)
            rejected = await gateway.http.post(f"{path}?unknown=1", content=b"no photo")
            gateway.torchserve.released.set()
        assert (rejected.status_code, rejected.json()["code"]) == (429, "busy")
        assert int(rejected.headers["retry-after"]) >= 1
        assert rejected.headers["x-request-id"]
        sample = {"route": path, "status": "429", "code": "busy"}
        assert gateway.value("fcnserve_requests_total", **sample) == 1


async def test_slow_senders_get_a_timeout_and_take_no_permits() -> None:
    async with running(max_in_flight=2, timeout_ms=100) as gateway:
        head = b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
        answers = await asyncio.gather(gateway.raw(head), gateway.raw(head + b"some"))
        for answer in answers:  # raw returns: the gateway has closed the connection
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"connection: close" in answer
        assert gateway.in_flight == 0


def admission(max_in_flight: int = 4) -> Admission:
    limits = AdmissionLimits(max_in_flight, body_bytes=100, seconds=1000)
    return Admission(limits, QueueMetrics(CollectorRegistry()), [MODEL])


def test_without_recent_answers_retry_after_is_a_second() -> None:
    assert admission().retry_after_s() == 1


def test_retry_after_is_estimated_from_the_rate_of_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    limited = admission()
    with limited.permit(MODEL), limited.permit(MODEL), limited.permit(MODEL):
        for _ in range(10):
            now[0] += 2.0
            with limited.permit(MODEL):
                pass
        assert limited.retry_after_s() == 6  # three in flight, one answer every 2 s
        with (
            limited.permit(MODEL),
            pytest.raises(BusyError) as caught,
            limited.permit(MODEL),
        ):
            pass
        assert caught.value.retry_after_s == 8
        now[0] += 10_000
        assert limited.retry_after_s() == MAX_RETRY_AFTER_S


def test_idle_hours_do_not_lower_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    limited = admission()
    with limited.permit(MODEL):
        now[0] += 0.1
    now[0] += 3600
    with limited.permit(MODEL), limited.permit(MODEL):
        now[0] += 0.1
        with limited.permit(MODEL):
            pass
        assert limited.retry_after_s() == 1


def test_a_failure_gives_the_permit_back() -> None:
    limited = admission(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), limited.permit(MODEL):
            _ = 1 / 0
    assert limited.in_flight.images == 0


@pytest.mark.parametrize("add", ["add_bytes", "add_seconds"])
def test_bytes_and_seconds_are_limited_and_given_back(add: str) -> None:
    limited = admission()
    limit = {"add_bytes": 100, "add_seconds": 1000}[add]
    with limited.permit(MODEL) as first:
        getattr(first, add)(limit // 2)
        getattr(first, add)(limit)  # alone, it is never rejected
        with limited.permit(MODEL) as second, pytest.raises(BusyError, match=str(limit)):
            getattr(second, add)(1)
    with limited.permit(MODEL) as first, limited.permit(MODEL) as second:
        getattr(first, add)(limit // 2)
        getattr(second, add)(limit // 2)
        assert (limited.in_flight.body_bytes, limited.in_flight.seconds).count(limit) == 1
    assert limited.in_flight == InFlight()


def processes(count: int, max_in_flight: int) -> list[Admission]:
    """Return what each of several processes has, which share one group."""
    limits = AdmissionLimits(max_in_flight, body_bytes=100, seconds=1000)
    group = ProcessGroup([MODEL], count)
    return [
        Admission(limits, QueueMetrics(CollectorRegistry()), [MODEL], group.at(index))
        for index in range(count)
    ]


def test_one_process_may_take_all_permits_and_the_others_then_have_none() -> None:
    first, second = processes(2, max_in_flight=3)
    with first.permit(MODEL), first.permit(MODEL):
        with first.permit(MODEL):
            with pytest.raises(BusyError, match="3 requests are in flight; the limit is 3"):
                second.check_capacity()
            with pytest.raises(BusyError), second.permit(MODEL):
                pass
        assert second.in_flight == InFlight(images=2)
        with second.permit(MODEL):
            pass
    assert first.in_flight == second.in_flight == InFlight()


@pytest.mark.parametrize("add", ["add_bytes", "add_seconds"])
def test_bytes_and_seconds_of_all_processes_are_limited_together(add: str) -> None:
    first, second = processes(2, max_in_flight=3)
    limit = {"add_bytes": 100, "add_seconds": 1000}[add]
    with first.permit(MODEL) as one, second.permit(MODEL) as other:
        getattr(one, add)(limit)
        with pytest.raises(BusyError, match=str(limit)):
            getattr(other, add)(1)
    assert first.in_flight == InFlight()


def test_one_models_part_is_that_of_all_processes() -> None:
    limits = AdmissionLimits(4, body_bytes=100, seconds=1000)
    group = ProcessGroup(["a", "b"], 2)
    first, second = (
        Admission(limits, QueueMetrics(CollectorRegistry()), ["a", "b"], group.at(index))
        for index in range(2)
    )
    with first.permit("a"), first.permit("a"), second.permit("a"):
        with pytest.raises(BusyError, match="for a; the limit is 3"), second.permit("a"):
            pass
        with second.permit("b"):
            pass


def test_what_a_dead_process_had_in_flight_is_given_back() -> None:
    group = ProcessGroup([MODEL], 2)
    limits = AdmissionLimits(1, body_bytes=100, seconds=1000)
    dead, other = (
        Admission(limits, QueueMetrics(CollectorRegistry()), [MODEL], group.at(index))
        for index in range(2)
    )
    permit = dead.permit(MODEL)  # and never given back
    permit.__enter__()
    with pytest.raises(BusyError):
        other.check_capacity()
    group.at(0).clear()
    with other.permit(MODEL):
        assert other.in_flight == InFlight(images=1)


def test_retry_after_counts_what_all_processes_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    first, second = processes(2, max_in_flight=100)
    with first.permit(MODEL), first.permit(MODEL), second.permit(MODEL), second.permit(MODEL):
        for _ in range(10):
            now[0] += 2.0
            with second.permit(MODEL):
                pass
            with first.permit(MODEL):
                pass
        assert first.retry_after_s() == 4  # four in flight, two answers every 2 s
