"""A model is alive after any recent answer; a liveness probe is sent only where there is none.

Windows pass by steps of the test's clock; the watch polls in real time, six times a window.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from handlers.shared.errors import BrokenImageError
from tests.support.clock import Clock
from tests.support.fakes import FakeTorchServe, Gateway, running, until

WINDOW_S = 0.75  # exact in sums
MODEL = "fcn8s-lite2"


@pytest.fixture
async def gateway(clock: Clock) -> AsyncIterator[Gateway]:
    async with running(ready_window_s=WINDOW_S) as gateway:
        await gateway.ready()
        yield gateway


async def status(gateway: Gateway, path: str = "/readyz") -> int:
    return (await gateway.http.get(path)).status_code


async def half_a_window_passes(gateway: Gateway, clock: Clock, *models: str) -> None:
    """Each model is probed, and has answered."""
    silent_s = gateway.components.health.silent_s
    await clock.advance_until_probed(WINDOW_S / 2, silent_s, *models or [MODEL])


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
    gateway: Gateway, clock: Clock
) -> None:
    gateway.torchserve.fault = gateway.torchserve.own_error(503)
    clock.advance(WINDOW_S)
    assert await status(gateway) == 200
    clock.advance(WINDOW_S / 64)
    assert await status(gateway) == 503
    gateway.torchserve.fault = None
    await becomes(gateway, 200)


async def test_an_idle_service_stays_ready_by_liveness_probes(
    gateway: Gateway, clock: Clock
) -> None:
    for _ in range(5):
        await half_a_window_passes(gateway, clock)
        assert await status(gateway) == 200


async def test_a_saturated_model_stays_ready_without_liveness_probes(clock: Clock) -> None:
    """One photo of `a` is always in flight; probes of `b`, which is idle, show the watch."""
    async with running(models="a,b", ready_window_s=WINDOW_S) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.hangs
        async with asyncio.TaskGroup() as group:
            group.create_task(gateway.segment())
            await until(lambda: gateway.torchserve.photos)
            gateway.torchserve.fault = None
            gateway.torchserve.calls.clear()
            for _ in range(5):
                await half_a_window_passes(gateway, clock, "b")
                assert (await gateway.segment()).status_code == 200
                assert await status(gateway) == 200
            assert {call.model for call in gateway.torchserve.liveness_probes} == {"b"}
            gateway.torchserve.released.set()


async def test_a_service_with_hanging_photos_is_not_ready(gateway: Gateway, clock: Clock) -> None:
    gateway.torchserve.fault = gateway.torchserve.hangs
    async with asyncio.TaskGroup() as group:
        group.create_task(gateway.segment())
        await until(lambda: gateway.torchserve.photos)
        clock.advance(2 * WINDOW_S)
        assert await status(gateway) == 503
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


async def test_a_slow_model_may_be_silent_during_a_batch(clock: Clock) -> None:
    torchserve = FakeTorchServe(response_timeout_s=60)
    async with running(torchserve, ready_window_s=WINDOW_S) as gateway:
        await gateway.ready()
        window_s = gateway.components.health.window_s(MODEL)
        assert window_s > 10 * WINDOW_S
        torchserve.fault = torchserve.hangs
        async with asyncio.TaskGroup() as group:
            group.create_task(gateway.segment())
            await until(lambda: torchserve.photos)
            clock.advance(window_s)
            assert await status(gateway) == 200
            clock.advance(WINDOW_S)
            assert await status(gateway) == 503
            torchserve.released.set()


async def test_a_problem_with_a_photo_counts_as_an_answer(gateway: Gateway, clock: Clock) -> None:
    gateway.torchserve.fault = gateway.torchserve.image_problem(BrokenImageError("cut short"))
    clock.advance(WINDOW_S / 4)  # too soon for a probe
    assert gateway.components.health.silent_s(MODEL) > 0
    assert (await gateway.segment()).status_code == 400
    assert gateway.components.health.silent_s(MODEL) == 0
    assert gateway.torchserve.liveness_probes == gateway.torchserve.calls[1:2]


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
        torchserve.fault = torchserve.raw_report(body)
    async with running(torchserve, ready_window_s=WINDOW_S) as gateway:
        await until(
            lambda: len(torchserve.card_requests) > 1 or len(torchserve.liveness_probes) > 1
        )
        assert await status(gateway) == 503
        torchserve.fault = None
        await becomes(gateway, 200)


async def test_a_liveness_probe_reads_the_new_card_after_an_exchange(
    gateway: Gateway, clock: Clock
) -> None:
    gateway.torchserve.digest = "e" * 16
    await half_a_window_passes(gateway, clock)
    assert len(gateway.torchserve.card_requests) > 1
    assert gateway.torchserve.photos == []
    card = (await gateway.http.get(f"/v1/models/{MODEL}")).json()
    assert card["digest"] == "e" * 16


async def test_the_watch_goes_on_after_an_unexpected_exception(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(models="a,b", ready_window_s=WINDOW_S) as gateway:
        await gateway.ready()
        upstream = gateway.replica("a").client
        send = upstream.send
        failures: list[str] = []

        async def fails(model: str, *arguments: Any) -> Any:
            if model == "a" and len(failures) < 3:
                failures.append(model)
                raise ZeroDivisionError
            return await send(model, *arguments)

        monkeypatch.setattr(upstream, "send", fails)
        for _ in range(3):
            await half_a_window_passes(gateway, clock, "a", "b")
            assert await status(gateway) == 200
        assert len(failures) == 3
    assert "the watch over a met a defect" in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_each_change_of_a_models_health_is_logged_once(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "service.backend.health")
    torchserve = FakeTorchServe()
    torchserve.fault = torchserve.own_error(503)
    async with running(torchserve, ready_window_s=WINDOW_S) as gateway:
        await until(lambda: len(torchserve.card_requests) > 2)
        assert caplog.messages == [f"waiting for workers to load {MODEL}"]
        torchserve.fault = None
        await gateway.ready()
        for _ in range(3):
            await half_a_window_passes(gateway, clock)
        assert caplog.messages[1:] == [f"workers answer: {MODEL} is ready"]
        torchserve.fault = torchserve.own_error(503)
        clock.advance(7)
        await until(lambda: len(caplog.messages) > 2)
        assert caplog.messages[2:] == [f"no worker of {MODEL} has answered for 7 s"]
