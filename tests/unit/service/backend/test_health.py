"""A model is alive after any recent answer; a liveness probe is sent only where there is none."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from handlers.shared.errors import BrokenImageError
from tests.support.fakes import FakeTorchServe, Gateway, running, until

WINDOW_S = 0.8


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with running(ready_window_s=WINDOW_S) as gateway:
        await gateway.ready()
        yield gateway


async def status(gateway: Gateway, path: str = "/readyz") -> int:
    return (await gateway.http.get(path)).status_code


async def becomes(gateway: Gateway, expected: int) -> None:
    async def holds() -> bool:
        return await status(gateway) == expected

    await until(holds)


async def test_livez_answers_whatever_the_worker_does() -> None:
    torchserve = FakeTorchServe()
    torchserve.fault = torchserve.hangs
    async with running(torchserve) as gateway:
        answer = await gateway.http.get("/livez")
        assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


@pytest.mark.parametrize("fault", ["status-503", "status-507", "hangs", "hangs_up"])
async def test_the_gateway_is_not_ready_until_a_liveness_probe_is_answered(fault: str) -> None:
    torchserve = FakeTorchServe()
    name, _, code = fault.partition("-")
    torchserve.fault = torchserve.own_error(int(code)) if code else getattr(torchserve, name)
    async with running(torchserve, ready_window_s=WINDOW_S) as gateway:
        await until(lambda: torchserve.card_requests)
        answer = await gateway.http.get("/readyz")
        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
        assert answer.headers["retry-after"] == "1"
        assert gateway.value("fcnserve_ready") == 0
        torchserve.fault = None
        await becomes(gateway, 200)
        assert gateway.value("fcnserve_ready") == 1
        assert (await gateway.http.get("/readyz")).json() == {"status": "ready", "silent": []}


async def test_the_gateway_is_not_ready_once_the_window_has_passed_and_ready_again_after(
    gateway: Gateway,
) -> None:
    gateway.torchserve.fault = gateway.torchserve.own_error(503)
    await becomes(gateway, 503)
    gateway.torchserve.fault = None
    await becomes(gateway, 200)


async def test_an_idle_service_stays_ready_by_liveness_probes(gateway: Gateway) -> None:
    sent = len(gateway.torchserve.liveness_probes)

    async def five_more() -> bool:  # takes longer than the window
        assert await status(gateway) == 200
        return len(gateway.torchserve.liveness_probes) >= sent + 5

    await until(five_more)


async def test_a_saturated_service_stays_ready_without_liveness_probes(gateway: Gateway) -> None:
    """One photo is always in flight, for two windows; answers come faster than the window."""
    hung = gateway.torchserve.hangs
    gateway.torchserve.fault = hung
    async with asyncio.TaskGroup() as group:
        group.create_task(gateway.segment())
        await until(lambda: gateway.in_flight == 1)
        await until(lambda: gateway.torchserve.busy == 1)  # a probe under way has been answered
        gateway.torchserve.fault = None
        sent = len(gateway.torchserve.liveness_probes)
        loop = asyncio.get_running_loop()
        end = loop.time() + 2 * WINDOW_S
        while loop.time() < end:
            assert (await gateway.segment()).status_code == 200
            assert await status(gateway) == 200
        assert len(gateway.torchserve.liveness_probes) == sent
        gateway.torchserve.released.set()


async def test_a_service_with_hanging_photos_is_not_ready(gateway: Gateway) -> None:
    gateway.torchserve.fault = gateway.torchserve.hangs
    async with asyncio.TaskGroup() as group:
        group.create_task(gateway.segment())
        await becomes(gateway, 503)
        gateway.torchserve.released.set()
    await becomes(gateway, 200)


async def test_no_probe_photos_pile_up_before_a_worker_that_has_not_started() -> None:
    torchserve = FakeTorchServe()
    torchserve.fault = torchserve.hangs
    async with running(torchserve, ready_window_s=0.1):
        await until(lambda: len(torchserve.card_requests) > 2)
        assert torchserve.liveness_probes == []
        torchserve.released.set()
        await until(lambda: torchserve.liveness_probes)


async def test_a_slow_model_may_be_silent_during_a_batch() -> None:
    torchserve = FakeTorchServe(response_timeout_s=60)
    async with running(torchserve, ready_window_s=0.1) as gateway:
        await gateway.ready()
        torchserve.fault = torchserve.hangs
        silent_s = gateway.components.health.silent_s
        async with asyncio.TaskGroup() as group:
            group.create_task(gateway.segment())
            await until(lambda: silent_s("fcn8s-lite2") > 5 * 0.1)
            assert await status(gateway) == 200
            torchserve.released.set()


async def test_a_problem_with_a_photo_counts_as_an_answer(gateway: Gateway) -> None:
    gateway.torchserve.fault = gateway.torchserve.image_problem(BrokenImageError("cut short"))
    before = gateway.components.health.silent_s("fcn8s-lite2")
    assert (await gateway.segment()).status_code == 400
    assert gateway.components.health.silent_s("fcn8s-lite2") < before + WINDOW_S
    assert await status(gateway) == 200


async def test_every_model_has_to_be_alive() -> None:
    torchserve = FakeTorchServe()
    async with running(torchserve, models="a,b", ready_window_s=WINDOW_S) as gateway:
        await gateway.ready()
        assert {call.model for call in torchserve.liveness_probes} == {"a", "b"}
        assert {call.model for call in torchserve.card_requests} == {"a", "b"}


@pytest.mark.parametrize("body", [b"junk", b"", b"[]"])
@pytest.mark.parametrize("kind", ["card", "report"])
async def test_the_watch_survives_any_answer_of_the_worker(kind: str, body: bytes) -> None:
    torchserve = FakeTorchServe()
    if kind == "card":
        torchserve.fault = torchserve.raw_card(body)
    else:
        torchserve.fault = torchserve.raw_mask(b"", **{"X-Fcnserve-Report": body.decode()})
    async with running(torchserve, ready_window_s=WINDOW_S) as gateway:
        await until(
            lambda: len(torchserve.card_requests) > 1 or len(torchserve.liveness_probes) > 1
        )
        assert await status(gateway) == 503
        torchserve.fault = None
        await becomes(gateway, 200)


async def test_a_liveness_probe_reads_the_new_card_after_an_exchange(gateway: Gateway) -> None:
    gateway.torchserve.digest = "e" * 16
    await until(lambda: len(gateway.torchserve.card_requests) == 2)
    assert gateway.torchserve.photos == []
    card = (await gateway.http.get("/v1/models/fcn8s-lite2")).json()
    assert card["digest"] == "e" * 16


async def test_the_watch_goes_on_after_an_unexpected_exception(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(models="a,b", ready_window_s=WINDOW_S) as gateway:
        await gateway.ready()
        upstream = gateway.components.segmenter.dispatch.attempts.client
        send = upstream.send
        failures: list[str] = []

        async def fails(model: str, *arguments: Any) -> Any:
            if model == "a" and len(failures) < 3:
                failures.append(model)
                raise ZeroDivisionError
            return await send(model, *arguments)

        monkeypatch.setattr(upstream, "send", fails)
        sent = len(gateway.torchserve.liveness_probes)
        await until(lambda: len(failures) == 3)
        await until(lambda: len(gateway.torchserve.liveness_probes) > sent + 5)
        assert {call.model for call in gateway.torchserve.liveness_probes[sent:]} == {"a", "b"}
        assert await status(gateway) == 200
    assert "the watch over a met a defect" in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_each_change_of_a_models_health_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "service.backend.health")
    torchserve = FakeTorchServe()
    torchserve.fault = torchserve.own_error(503)
    async with running(torchserve, ready_window_s=WINDOW_S) as gateway:
        await until(lambda: len(torchserve.card_requests) > 2)
        assert caplog.messages == ["waiting for workers to load fcn8s-lite2"]
        torchserve.fault = None
        await until(lambda: len(torchserve.liveness_probes) > 3)
        assert caplog.messages[1:] == ["workers answer: fcn8s-lite2 is ready"]
        torchserve.fault = torchserve.own_error(503)
        await becomes(gateway, 503)
        await until(lambda: len(caplog.messages) > 2)
        assert caplog.messages[2].startswith("no worker of fcn8s-lite2 has answered for")
