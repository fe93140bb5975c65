"""Every outcome of an attempt reaches the metrics, the health and the model registry."""

import asyncio
from itertools import groupby

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from handlers.job import Answer
from handlers.shared.errors import (
    PROBLEM_MEDIA_TYPE,
    BrokenImageError,
    ProblemError,
    WorkerFailedError,
)
from handlers.shared.wire import PNG_MEDIA_TYPE, Report
from service.backend.attempt import FAILURES, Attempts
from service.backend.client import WorkerAnswer
from service.backend.replicas.replica import NEVER
from service.errors import NotReadyError, WorkerCrashedError, WorkerSilentError
from service.metrics.attempts import OUTCOMES, AttemptMetrics
from service.metrics.worker_reports import ReportMetrics
from tests.support.fakes import CAT, Call, FakeTorchServe, Gateway, running, until

MODEL = "fcn8s-lite2"
REPORT = Report({}, batch_images=3)


def attempts_of(gateway: Gateway, registry: CollectorRegistry) -> Attempts:
    models, health = gateway.components.models, gateway.components.health
    metrics, reports = AttemptMetrics(registry), ReportMetrics(registry)
    return Attempts(models, health, metrics, reports)


def answer(media_type: str) -> WorkerAnswer:
    return WorkerAnswer(b"", media_type, f"{MODEL}@another", REPORT)


@pytest.mark.parametrize(
    ("outcome", "label"),
    [
        pytest.param(answer(PNG_MEDIA_TYPE), "answered", id="mask"),
        pytest.param(answer(PROBLEM_MEDIA_TYPE), "problem", id="problem"),
        pytest.param(NotReadyError("no worker"), "not_ready", id="not-ready"),
        pytest.param(WorkerCrashedError("507"), "crashed", id="crashed"),
        pytest.param(WorkerSilentError("late"), "timed_out", id="silent"),
        pytest.param(WorkerFailedError("other release"), "problem", id="unreadable"),
    ],
)
async def test_an_outcome_is_counted_and_an_answer_shows_a_live_worker(
    outcome: WorkerAnswer | ProblemError, label: str
) -> None:
    async with running() as gateway:
        await gateway.ready()
        gateway.components.health._answered_at[MODEL] = NEVER
        registry = CollectorRegistry()
        attempts = attempts_of(gateway, registry)
        attempts.observe(gateway.replica(), outcome)
        attempts.report(gateway.replica(), outcome)
        labels = {"model": MODEL, "outcome": label}
        assert registry.get_sample_value("fcnserve_upstream_attempts_total", labels) == 1
        is_answer = isinstance(outcome, WorkerAnswer)
        assert gateway.components.health.is_alive(MODEL) == is_answer
        assert (gateway.components.models.known(MODEL) is None) == is_answer
        images = registry.get_sample_value("fcnserve_batch_images_sum", {"model": MODEL})
        assert images == (3 if is_answer else None)


PHOTOS = [CAT + tail for tail in (b"1", b"2", b"3")]


async def send_together(gateway: Gateway) -> list[int]:
    """Send photos that wait together; return the statuses of their answers."""
    torchserve = gateway.torchserve
    fault, torchserve.fault = torchserve.fault, torchserve.hangs
    async with asyncio.TaskGroup() as group:
        for hanging in (1, 2):  # all that TorchServe may have
            group.create_task(gateway.segment())
            await until(lambda number=hanging: torchserve.busy == number)  # type: ignore[misc]
        answers = [group.create_task(gateway.segment(body)) for body in PHOTOS]
        await until(lambda: gateway.value("fcnserve_images_waiting") == len(PHOTOS))
        torchserve.fault = fault
        torchserve.released.set()
    return [answer.result().status_code for answer in answers]


def requests_with_photos(torchserve: FakeTorchServe) -> list[list[Call]]:
    calls = [call for call in torchserve.photos if call.body in PHOTOS]
    return [list(group) for _, group in groupby(calls, key=lambda call: call.request)]


async def test_images_that_wait_together_are_one_request_with_an_outcome_each() -> None:
    async with running() as gateway:
        await gateway.ready()
        torchserve = gateway.torchserve
        broken = Answer.of_problem(BrokenImageError("cut short"), Report({}))
        torchserve.fault = torchserve.answering(
            lambda call: broken if call.body == PHOTOS[1] else torchserve.answer(call)
        )
        assert await send_together(gateway) == [200, 400, 200]
        (request,) = requests_with_photos(torchserve)
        assert [call.body for call in request] == PHOTOS
        attempts = "fcnserve_upstream_attempts_total"
        assert gateway.value(attempts, outcome="answered") == 2 + 2
        assert gateway.value(attempts, outcome="problem") == 1


@pytest.mark.parametrize(("status", "outcome"), [(503, "not_ready"), (507, "crashed")])
async def test_a_failure_of_a_request_is_one_of_each_of_its_images(
    status: int, outcome: str
) -> None:
    async with running() as gateway:
        await gateway.ready()
        torchserve = gateway.torchserve

        async def fails_once(request: web.Request) -> web.StreamResponse:
            torchserve.fault = None
            return await torchserve.own_error(status)(request)

        torchserve.fault = fails_once
        assert await send_together(gateway) == [200, 200, 200]
        assert gateway.value("fcnserve_upstream_attempts_total", outcome=outcome) == len(PHOTOS)
        assert gateway.value("fcnserve_upstream_retries_total") == len(PHOTOS)


async def test_after_a_crash_each_image_goes_alone_as_a_suspect() -> None:
    async with running() as gateway:
        await gateway.ready()
        torchserve = gateway.torchserve

        async def crashes_on_several(request: web.Request) -> web.StreamResponse:
            is_alone = len(await torchserve.images_of(request)) == 1
            return await (torchserve.answered if is_alone else torchserve.own_error(507))(request)

        torchserve.fault = crashes_on_several
        assert await send_together(gateway) == [200, 200, 200]
        together, *alone = requests_with_photos(torchserve)
        assert len(together) == len(alone) == len(PHOTOS)
        suspects = [call.options.get("suspect") for request in alone for call in request]
        assert suspects == [True] * len(PHOTOS)


def test_every_failure_of_a_request_has_a_label() -> None:
    assert set(FAILURES.values()) <= set(OUTCOMES)
    failures = {NotReadyError, *NotReadyError.__subclasses__()}
    failures |= {WorkerCrashedError, *WorkerCrashedError.__subclasses__()}
    assert failures == FAILURES.keys()
