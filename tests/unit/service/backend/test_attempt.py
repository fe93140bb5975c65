"""Every outcome of an attempt reaches the metrics, the health and the model registry."""

import pytest

from handlers.shared.errors import PROBLEM_MEDIA_TYPE, ProblemError, WorkerFailedError
from handlers.shared.wire import DEFERRED_MEDIA_TYPE, PNG_MEDIA_TYPE, Report
from service.backend.attempt import FAILURES
from service.backend.client import WorkerAnswer
from service.backend.health import NEVER
from service.errors import NotReadyError, WorkerCrashedError, WorkerSilentError
from service.metrics.attempts import OUTCOMES
from tests.support.fakes import running

MODEL = "fcn8s-lite2"
REPORT = Report({}, batch_images=3)


def answer(media_type: str) -> WorkerAnswer:
    return WorkerAnswer(b"", media_type, f"{MODEL}@another", REPORT)


@pytest.mark.parametrize(
    ("outcome", "label"),
    [
        pytest.param(answer(PNG_MEDIA_TYPE), "answered", id="mask"),
        pytest.param(answer(PROBLEM_MEDIA_TYPE), "problem", id="problem"),
        pytest.param(answer(DEFERRED_MEDIA_TYPE), "put_off", id="deferred"),
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
        gateway.components.segmenter.dispatch.attempts.observe(MODEL, outcome)
        assert gateway.value("fcnserve_upstream_attempts_total") == 1
        assert gateway.value("fcnserve_upstream_attempts_total", outcome=label) == 1
        is_answer = isinstance(outcome, WorkerAnswer)
        assert gateway.components.health.is_alive(MODEL) == is_answer
        assert (gateway.components.models.known(MODEL) is None) == is_answer
        assert gateway.value("fcnserve_batch_images_sum") == (3 if is_answer else 0)


def test_every_failure_of_a_request_has_a_label() -> None:
    assert set(FAILURES.values()) <= set(OUTCOMES)
    failures = {NotReadyError, *NotReadyError.__subclasses__()}
    failures |= {WorkerCrashedError, *WorkerCrashedError.__subclasses__()}
    assert failures == FAILURES.keys()
