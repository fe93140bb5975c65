"""Several models behind one gateway: each has its queue, its part of the limits, its metrics."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from service.pipeline.limits import AdmissionLimits
from tests.support.clock import Clock
from tests.support.fakes import CAT, CLASSES, FakeTorchServe, Fault, Gateway, running, until

WINDOW_S = 0.75  # exact in sums


class FakeModels(FakeTorchServe):
    """Model `a`, and a `b` with failures of its own."""

    def fail(self, how: str) -> None:
        b_only: Fault = self.hangs if how == "hangs" else self.own_error(int(how))

        async def fault(request: web.Request) -> web.StreamResponse:
            is_b = request.match_info["name"] == "b"
            return await (b_only if is_b else self.answered)(request)

        self.fault = fault


@asynccontextmanager
async def several_models(**settings: object) -> AsyncIterator[Gateway]:
    async with running(FakeModels(), models="a,b", ready_window_s=WINDOW_S, **settings) as gateway:
        yield gateway


async def half_a_window_passes(gateway: Gateway, clock: Clock) -> None:
    """Model `a` is probed, and has answered."""
    silent_s = gateway.components.health.silent_s
    await clock.advance_until_probed(WINDOW_S / 2, silent_s, "a")


async def ready(gateway: Gateway, model: str = "") -> int:
    query = f"?model={model}" if model else ""
    return (await gateway.http.get(f"/readyz{query}")).status_code


async def listed(gateway: Gateway) -> list[str]:
    return [card["name"] for card in (await gateway.http.get("/v1/models")).json()]


async def test_the_first_model_is_the_default_and_any_can_be_chosen() -> None:
    async with several_models() as gateway:
        await gateway.ready()
        assert (await gateway.segment()).headers["x-model"].startswith("a@")
        assert (await gateway.segment(model="b")).headers["x-model"].startswith("b@")
        assert await listed(gateway) == ["a", "b"]
        answer = await gateway.segment(model="c")
        assert (answer.status_code, answer.json()["code"]) == (404, "model_not_found")
        assert "this server has a, b" in answer.json()["detail"]


@pytest.mark.parametrize("fault", ["404", "503", "hangs"])
async def test_a_model_without_workers_leaves_the_others_ready(fault: str, clock: Clock) -> None:
    async with several_models() as gateway:
        torchserve = gateway.torchserve
        assert isinstance(torchserve, FakeModels)
        await gateway.ready()
        torchserve.fail(fault)
        for code in (200, 200, 503):
            await half_a_window_passes(gateway, clock)
            assert await ready(gateway) == 200
            assert await ready(gateway, "b") == code
        assert (await gateway.http.get("/readyz")).json() == {"status": "ready", "silent": ["b"]}
        assert gateway.value("fcnserve_model_ready", model="a") == 1
        assert gateway.value("fcnserve_model_ready", model="b") == 0
        assert gateway.value("fcnserve_ready") == 1
        assert (await gateway.segment()).status_code == 200
        torchserve.released.set()


async def test_a_gateway_is_not_ready_while_one_is_still_starting(clock: Clock) -> None:
    torchserve = FakeModels()
    torchserve.fail("503")
    async with running(torchserve, models="a,b", ready_window_s=WINDOW_S) as gateway:
        await until(lambda: gateway.components.health.is_alive("a"))
        assert await ready(gateway) == 503
        assert await ready(gateway, "a") == 200
        torchserve.fault = None
        await gateway.ready()


@pytest.mark.parametrize("fault", ["404", "503"])
async def test_a_model_that_never_starts_is_not_waited_for_forever(
    fault: str, clock: Clock
) -> None:
    """For a restart's time at most; not at all for one that TorchServe was not given."""
    torchserve = FakeModels()
    torchserve.fail(fault)
    settings = {"ready_window_s": WINDOW_S, "restart_wait_s": 2 * WINDOW_S}
    async with running(torchserve, models="a,b", **settings) as gateway:
        await until(lambda: gateway.components.health.is_alive("a"))
        if fault == "503":
            for _ in range(3):
                assert not gateway.components.health.is_ready()
                await half_a_window_passes(gateway, clock)
            await half_a_window_passes(gateway, clock)
        await gateway.ready()
        assert await listed(gateway) == ["a"]
        answer = await gateway.segment(model="b")
        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
        if fault == "404":
            assert "was left out" in answer.json()["detail"]


async def test_the_list_has_the_models_that_answer_and_is_an_error_without_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.backend.registry.SOON_S", 1.0)
    torchserve = FakeModels()
    torchserve.fail("hangs")
    async with running(torchserve, models="a,b", ready_window_s=WINDOW_S) as gateway:
        assert await listed(gateway) == ["a"]
        torchserve.released.set()
    torchserve = FakeModels()
    torchserve.fault = torchserve.own_error(503)
    async with running(torchserve, models="a,b") as gateway:
        answer = await gateway.http.get("/v1/models")
        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")


async def test_a_model_that_hangs_leaves_permits_for_the_others() -> None:
    async with several_models(max_in_flight=8) as gateway:
        torchserve = gateway.torchserve
        assert isinstance(torchserve, FakeModels)
        await gateway.ready()
        torchserve.fail("hangs")
        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(gateway.segment(model="b")) for _ in range(8)]
            await until(
                lambda: gateway.in_flight == 6 and sum(task.done() for task in answers) == 2
            )
            rejected = next(task for task in answers if task.done()).result()
            assert (rejected.status_code, rejected.json()["code"]) == (429, "busy")
            assert "6 requests are in flight for b; the limit is 6" in rejected.json()["detail"]
            assert gateway.value("fcnserve_images_handed_over", model="b") == 6
            for _ in range(2):
                assert (await gateway.segment()).status_code == 200
            torchserve.released.set()


async def test_a_busy_model_does_not_stop_the_liveness_probes_of_others(clock: Clock) -> None:
    async with several_models() as gateway:
        torchserve = gateway.torchserve
        assert isinstance(torchserve, FakeModels)
        await gateway.ready()
        torchserve.fail("hangs")
        answer = asyncio.create_task(gateway.segment(model="b"))
        await until(lambda: gateway.in_flight == 1)
        for _ in range(3):
            await half_a_window_passes(gateway, clock)
            assert await ready(gateway, "a") == 200
        torchserve.released.set()
        assert (await answer).status_code == 200


async def test_the_documentation_offers_the_models() -> None:
    async with several_models() as gateway:
        made = (await gateway.http.get("/openapi.json")).json()
    for path, method in (
        ("/v1/segment", "post"),
        ("/v1/segment/batch", "post"),
        ("/readyz", "get"),
    ):
        parameters = made["paths"][path][method]["parameters"]
        (model,) = (each for each in parameters if each["name"] == "model")
        assert model["schema"] == {"type": "string", "enum": ["a", "b"]}


async def test_metrics_are_labelled_by_model() -> None:
    async with several_models() as gateway:
        await gateway.ready()
        for model in ("a", "b", "b"):
            await gateway.segment(CAT, model=model)
        for name in (
            "fcnserve_batch_images_count",
            "fcnserve_group_images_sum",
            "fcnserve_upstream_attempts_total",
        ):
            assert [gateway.value(name, model=model) for model in ("a", "b")] == [1, 2]
        stage = {"stage": "forward"}
        assert gateway.value("fcnserve_stage_duration_seconds_count", model="b", **stage) == 2
        seen = {"class": CLASSES[0]}
        pixels = gateway.value("fcnserve_predicted_pixels_total", model="a", **seen)
        assert gateway.value("fcnserve_predicted_pixels_total", model="b", **seen) == 2 * pixels > 0


@pytest.mark.parametrize(
    ("models", "limits"),
    [
        (1, AdmissionLimits(64, 1000, 2000)),
        (2, AdmissionLimits(48, 750, 1500)),
        (4, AdmissionLimits(40, 625, 1250)),
        (200, AdmissionLimits(64, 602, 1005)),  # too few permits to reserve one for each
    ],
)
def test_a_part_of_every_limit_is_reserved_for_each_model(
    models: int, limits: AdmissionLimits
) -> None:
    assert AdmissionLimits(64, 1000, 2000).of_one(models) == limits
