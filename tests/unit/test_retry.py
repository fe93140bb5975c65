"""Who waits for a mask outlives a worker's restart."""

import asyncio

import pytest
from aiohttp import web

from tests.fakes import CAT, FakeTorchServe, Gateway, gateway_at, running, until
from tests.photos import jpeg, photo

ATTEMPTS = "fcnserve_upstream_attempts_total"
RETRIES = "fcnserve_upstream_retries_total"


async def retried(gateway: Gateway, times: int = 1) -> None:
    await until(lambda: gateway.value(RETRIES) >= times)


async def test_a_request_waits_for_a_worker_that_restarts() -> None:
    async with running() as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.says(503)
        asked = asyncio.create_task(gateway.segment())
        await retried(gateway, 2)
        gateway.torchserve.fault = None
        assert (await asked).status_code == 200
        assert gateway.in_flight == 0
        assert gateway.value(ATTEMPTS, outcome="not_ready") >= 2


async def test_a_request_waits_for_the_card_of_a_worker_that_restarts() -> None:
    async with running() as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.says(503)
        gateway.app.state.models.saw_tag("fcn8s-lite2", "fcn8s-lite2@another")
        asked = asyncio.create_task(gateway.segment())
        await retried(gateway)
        assert not gateway.torchserve.photos
        gateway.torchserve.fault = None
        assert (await asked).status_code == 200


async def test_a_worker_that_has_been_gone_for_long_is_not_waited_for() -> None:
    async with running(restart_wait_s=0) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.says(503)
        response = await gateway.segment()
        assert (response.status_code, response.json()["code"]) == (503, "not_ready")
        assert gateway.value(RETRIES) == 0


async def test_nobody_waits_for_a_worker_that_has_never_been_there() -> None:
    async with gateway_at(FakeTorchServe(), torchserve_url="http://127.0.0.1:1") as gateway:
        response = await gateway.segment()
        assert (response.status_code, response.json()["code"]) == (503, "not_ready")


async def test_an_image_that_the_worker_crashed_on_is_tried_once_more() -> None:
    torchserve = FakeTorchServe()

    async def crashes_once(request: web.Request) -> web.StreamResponse:
        torchserve.fault = None
        return await torchserve.says(507)(request)

    async with running(torchserve) as gateway:
        await gateway.ready()
        torchserve.fault = crashes_once
        assert (await gateway.segment()).status_code == 200
        assert len(torchserve.photos) == 2
        torchserve.fault = torchserve.says(507)
        response = await gateway.segment()
        assert (response.status_code, response.json()["code"]) == (422, "image_crashes_worker")
        assert len(torchserve.photos) == 4
        assert gateway.value(ATTEMPTS, outcome="crashed") == 3
        assert gateway.value(ATTEMPTS, outcome="answered") == 1


async def test_the_neighbours_of_an_image_that_crashes_the_worker_get_their_masks() -> None:
    torchserve = FakeTorchServe()
    bomb, together, crash = jpeg(photo(64, 96)), asyncio.Event(), torchserve.says(507)

    async def crashes_all(request: web.Request) -> web.StreamResponse:
        """All that is in hand is lost when the bomb is."""
        if torchserve.busy == 4:
            together.set()
        if not together.is_set():
            await together.wait()
            return await crash(request)
        body = await request.read()
        assert torchserve.busy == 1 or len(torchserve.photos) == 4
        if body == bomb or len(torchserve.photos) == 4:
            return await crash(request)
        return torchserve.answer("fcn8s-lite2", body, {})

    async with running(torchserve) as gateway:
        await gateway.ready()
        torchserve.fault = crashes_all
        answers = await asyncio.gather(*(gateway.segment(body) for body in [CAT, bomb, CAT, CAT]))
        assert [answer.status_code for answer in answers] == [200, 422, 200, 200]
        assert answers[1].json()["code"] == "image_crashes_worker"
        assert len(torchserve.photos) == 8


@pytest.mark.parametrize("fault", [503, 404])
async def test_who_has_left_is_not_asked_for_again(fault: int) -> None:
    async with running() as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.says(fault)
        asked = asyncio.create_task(gateway.segment(CAT))
        await retried(gateway)
        asked.cancel()
        await until(lambda: gateway.in_flight == 0)
        assert gateway.app.state.segmenter.handovers["fcn8s-lite2"].images == 0
        gateway.torchserve.fault = None
        asked_before = len(gateway.torchserve.photos)
        assert (await gateway.segment()).status_code == 200
        assert len(gateway.torchserve.photos) == asked_before + 1


async def test_a_deadline_ends_the_waiting() -> None:
    async with running() as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.says(503)
        response = await gateway.segment(timeout_ms=300)
        assert (response.status_code, response.json()["code"]) == (504, "deadline_exceeded")


async def test_an_image_that_is_lost_twice_while_others_are_answered_is_given_up() -> None:
    torchserve = FakeTorchServe()

    async def is_lost(request: web.Request) -> web.StreamResponse:
        gateway.app.state.health.saw_answer("fcn8s-lite2")  # somebody else's
        return await torchserve.hangs(request)

    async with running(torchserve, attempt_timeout_s=0.2) as gateway:
        await gateway.ready()
        torchserve.fault = is_lost
        response = await gateway.segment()
        assert (response.status_code, response.json()["code"]) == (502, "worker_crashed")
        assert gateway.value(ATTEMPTS, outcome="timed_out") == 2
        torchserve.released.set()


async def test_an_image_waits_as_long_as_nobody_is_answered() -> None:
    """A TorchServe that starts takes requests long before its workers do."""
    async with running(attempt_timeout_s=0.2) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.hangs
        asked = asyncio.create_task(gateway.segment())
        await until(lambda: gateway.value(ATTEMPTS, outcome="timed_out") >= 3)
        gateway.torchserve.fault = None
        gateway.torchserve.released.set()
        assert (await asked).status_code == 200


async def test_nobody_waits_for_a_worker_that_has_been_silent_for_long() -> None:
    async with running(attempt_timeout_s=0.2, restart_wait_s=0) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.hangs
        assert (await gateway.segment()).status_code == 502
        assert gateway.value(ATTEMPTS, outcome="timed_out") == 1
        gateway.torchserve.released.set()


async def test_a_crash_after_a_silence_is_the_first_that_the_image_may_be_to_blame_for() -> None:
    """A hung TorchServe is silent, then killed by its supervisor, then there again."""
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


async def test_an_image_whose_connection_breaks_twice_is_not_called_a_crasher() -> None:
    async with running() as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.breaks_off
        response = await gateway.segment()
        assert (response.status_code, response.json()["code"]) == (502, "worker_crashed")
        assert len(gateway.torchserve.photos) == 2
        assert gateway.value(ATTEMPTS, outcome="crashed") == 2
