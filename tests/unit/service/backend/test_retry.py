"""A request survives the restart of a worker, and an image that crashes workers is given up."""

import asyncio

import pytest
from aiohttp import web

from handlers.shared.errors import ImageCrashesWorkerError
from service.backend.retry import MAX_PAUSE_S, PAUSE_S, pause_s
from tests.support.fakes import CAT, FakeTorchServe, Gateway, gateway_at, running, until
from tests.support.photos import jpeg, photo

ATTEMPTS = "fcnserve_upstream_attempts_total"
RETRIES = "fcnserve_upstream_retries_total"


async def retried(gateway: Gateway, times: int = 1) -> None:
    await until(lambda: gateway.value(RETRIES) >= times)


async def test_a_request_waits_for_a_worker_that_restarts() -> None:
    async with running() as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.own_error(503)
        answer = asyncio.create_task(gateway.segment())
        await retried(gateway, 2)
        gateway.torchserve.fault = None
        assert (await answer).status_code == 200
        assert gateway.in_flight == 0
        assert gateway.value(ATTEMPTS, outcome="not_ready") >= 2


async def test_a_request_waits_for_the_card_of_a_worker_that_restarts() -> None:
    async with running() as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.own_error(503)
        gateway.components.models.drop_if_exchanged(gateway.replica(), "fcn8s-lite2@another")
        answer = asyncio.create_task(gateway.segment())
        await retried(gateway)
        assert not gateway.torchserve.photos
        gateway.torchserve.fault = None
        assert (await answer).status_code == 200


async def test_no_request_waits_for_a_worker_that_has_been_gone_for_long() -> None:
    async with running(restart_wait_s=0) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.own_error(503)
        response = await gateway.segment()
        assert (response.status_code, response.json()["code"]) == (503, "not_ready")
        assert gateway.value(RETRIES) == 0


async def test_no_request_waits_for_a_worker_that_has_never_answered() -> None:
    async with gateway_at(FakeTorchServe(), torchserve_url="http://127.0.0.1:1") as gateway:
        response = await gateway.segment()
        assert (response.status_code, response.json()["code"]) == (503, "not_ready")


async def test_an_image_is_a_suspect_after_a_worker_has_crashed_with_it() -> None:
    torchserve = FakeTorchServe()

    async def crashes_once(request: web.Request) -> web.StreamResponse:
        torchserve.fault = None
        return await torchserve.own_error(507)(request)

    async with running(torchserve) as gateway:
        await gateway.ready()
        torchserve.fault = crashes_once
        assert (await gateway.segment()).status_code == 200
        assert ["suspect" in call.options for call in torchserve.photos] == [False, True]
        assert gateway.value(ATTEMPTS, outcome="crashed") == 1
        assert (await gateway.segment()).status_code == 200
        assert "suspect" not in torchserve.photos[-1].options


async def test_an_image_is_given_up_after_five_crashes() -> None:
    torchserve = FakeTorchServe()
    async with running(torchserve) as gateway:
        await gateway.ready()
        torchserve.fault = torchserve.own_error(500)
        response = await gateway.segment()
        assert (response.status_code, response.json()["code"]) == (502, "worker_crashed")
        assert len(torchserve.photos) == 5
        assert gateway.value(RETRIES) == 4


async def test_an_image_with_a_problem_is_not_sent_again() -> None:
    torchserve = FakeTorchServe()
    async with running(torchserve) as gateway:
        await gateway.ready()
        torchserve.fault = torchserve.image_problem(ImageCrashesWorkerError("it does"))
        response = await gateway.segment()
        assert (response.status_code, response.json()["code"]) == (422, "image_crashes_worker")
        assert len(torchserve.photos) == 1


async def test_others_are_answered_while_an_image_that_crashes_workers_is_retried() -> None:
    torchserve = FakeTorchServe()
    crasher = jpeg(photo(64, 96))

    async def crashes_on_it(request: web.Request) -> web.StreamResponse:
        if any(call.body == crasher for call in await torchserve.images_of(request)):
            return await torchserve.own_error(507)(request)
        return await torchserve.answered(request)

    async with running(torchserve) as gateway:
        await gateway.ready()
        torchserve.fault = crashes_on_it
        crashing = asyncio.create_task(gateway.segment(crasher))
        await retried(gateway)
        assert (await gateway.segment(CAT)).status_code == 200
        assert not crashing.done()
        assert (await crashing).status_code == 502


def test_pauses_are_random_and_grow_with_each_failure() -> None:
    assert len({pause_s(1) for _ in range(8)}) == 8
    assert max(pause_s(1) for _ in range(8)) <= PAUSE_S < min(pause_s(4) for _ in range(8))
    assert pause_s(1000) <= MAX_PAUSE_S


@pytest.mark.parametrize("fault", [503, 404])
async def test_an_image_of_a_disconnected_client_is_not_retried(fault: int) -> None:
    async with running() as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.own_error(fault)
        answer = asyncio.create_task(gateway.segment(CAT))
        await retried(gateway)
        answer.cancel()
        await until(lambda: gateway.in_flight == 0)
        assert gateway.replica().room.images == 0
        gateway.torchserve.fault = None
        sent_before = len(gateway.torchserve.photos)
        assert (await gateway.segment()).status_code == 200
        assert len(gateway.torchserve.photos) == sent_before + 1


async def test_a_deadline_ends_the_retries() -> None:
    async with running() as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.own_error(503)
        response = await gateway.segment(timeout_ms=300)
        assert (response.status_code, response.json()["code"]) == (504, "deadline_exceeded")


async def test_an_image_that_is_lost_twice_while_others_are_answered_is_given_up() -> None:
    torchserve = FakeTorchServe()

    async def is_lost(request: web.Request) -> web.StreamResponse:
        gateway.components.health.record_answer(gateway.replica())  # another image's
        return await torchserve.hangs(request)

    async with running(torchserve, attempt_timeout_s=0.2) as gateway:
        await gateway.ready()
        torchserve.fault = is_lost
        response = await gateway.segment()
        assert (response.status_code, response.json()["code"]) == (502, "worker_crashed")
        assert gateway.value(ATTEMPTS, outcome="timed_out") == 2
        torchserve.released.set()


async def test_an_image_is_retried_while_no_other_is_answered() -> None:
    """A TorchServe that starts accepts requests long before its workers do."""
    async with running(attempt_timeout_s=0.2) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.hangs
        answer = asyncio.create_task(gateway.segment())
        await until(lambda: gateway.value(ATTEMPTS, outcome="timed_out") >= 3)
        gateway.torchserve.fault = None
        gateway.torchserve.released.set()
        assert (await answer).status_code == 200


async def test_no_request_waits_for_a_worker_that_has_been_silent_for_long() -> None:
    async with running(attempt_timeout_s=0.2, restart_wait_s=0) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.hangs
        assert (await gateway.segment()).status_code == 502
        assert gateway.value(ATTEMPTS, outcome="timed_out") == 1
        gateway.torchserve.released.set()


async def test_a_crash_after_a_silence_counts_as_the_first_failure() -> None:
    """A hanging TorchServe is silent, then killed by its supervisor, then restarted."""
    torchserve = FakeTorchServe()

    async def is_killed(request: web.Request) -> web.StreamResponse:
        torchserve.fault = None
        return await torchserve.breaks_off(request)

    async def is_silent(request: web.Request) -> web.StreamResponse:
        torchserve.fault = is_killed
        return await torchserve.hangs(request)

    async with running(torchserve, attempt_timeout_s=0.2) as gateway:
        await gateway.ready()
        torchserve.fault = is_silent
        assert (await gateway.segment()).status_code == 200
        assert gateway.value(ATTEMPTS, outcome="timed_out") == 1
        assert gateway.value(ATTEMPTS, outcome="crashed") == 1
        torchserve.released.set()


async def test_repeatedly_broken_connections_end_the_retries_and_make_no_suspect() -> None:
    async with running() as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.breaks_off
        response = await gateway.segment()
        assert (response.status_code, response.json()["code"]) == (502, "worker_crashed")
        assert not any("suspect" in call.options for call in gateway.torchserve.photos)
        assert gateway.value(ATTEMPTS, outcome="crashed") == 5
