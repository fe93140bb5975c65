"""An image's failure changes no other answer, and no answer shows another image's failure."""

import gc
import logging
import weakref
from collections.abc import Callable, Sequence

import pytest
import torch

from handlers.job import Job, read_job
from handlers.log import fields_of
from handlers.pipeline import Pipeline
from handlers.shared.errors import SideTooLongError, TooManyPixelsError, WorkerFailedError
from handlers.shared.wire import GroupFigures, WorkerOptions
from handlers.stages.outcome import Outcome
from tests.support.photos import BROKEN, save
from tests.support.worker import (
    FakeNetwork,
    Pixels,
    code_of,
    jobs_of,
    labels_or_codes,
    network,
    noise,
    pipeline,
    plain,
)

FAILING = 13  # the label of the photo that a network fails on
SMALL = (30, 20)

# the gateway keeps large photos, and formats that its settings do not allow, from the worker
REACHING = [
    name
    for name, (_, error) in BROKEN.items()
    if error not in (TooManyPixelsError, SideTooLongError) and not name.endswith("-not-allowed")
]

Fault = Callable[[Sequence[Pixels]], None]


@pytest.fixture(scope="module")
def real() -> Pipeline:
    return pipeline(network("fp32"))


def on_several_photos(error: Exception) -> Fault:
    def fail(photos: Sequence[Pixels]) -> None:
        if len(photos) > 1:
            raise error

    return fail


def on_the_failing_photo(error: Exception) -> Fault:
    def fail(photos: Sequence[Pixels]) -> None:
        if any(photo[0, 0, 0] == FAILING for photo in photos):
            raise error

    return fail


@pytest.mark.parametrize("name", REACHING)
def test_a_broken_image_leaves_the_other_masks_of_its_batch_unchanged(
    real: Pipeline, name: str
) -> None:
    body, _ = BROKEN[name]
    good = [save(noise((61, 83), seed), "PNG") for seed in range(2)]
    single = [real.run(jobs_of(photo))[0].body for photo in good]
    first, stopped, last = real.run(jobs_of(good[0], body, good[1]))
    assert [first.body, last.body] == single
    assert code_of(stopped)


def test_a_problem_with_the_options_stops_that_job_only(real: Pipeline) -> None:
    photo = plain(SMALL, 0)
    answers = real.run([Job(photo), read_job(photo, b'{"output": "poem"}'), Job(photo)])
    assert [answer.media_type.split("/")[1] for answer in answers] == [
        "png",
        "problem+json",
        "png",
    ]
    assert code_of(answers[1]) == "worker_failed"


@pytest.mark.parametrize(
    "error",
    [RuntimeError("boom"), MemoryError(), torch.OutOfMemoryError("CUDA out of memory")],
    ids=lambda error: type(error).__name__,
)
def test_the_photos_of_a_group_that_fails_get_single_passes(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    net = FakeNetwork(on_several_photos(error))
    answers = pipeline(net).run(jobs_of(*(plain(SMALL, label) for label in range(3))))
    assert labels_or_codes(answers) == [0, 1, 2]
    assert net.passes == [3, 1, 1, 1]
    assert f"{type(error).__name__} in a pass over 3 photos on 64x64" in caplog.text
    assert fields_of(caplog.records[-1]) == {"request_ids": ["", "", ""]}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(RuntimeError("boom"), "worker_failed", id="RuntimeError"),
        pytest.param(MemoryError(), "out_of_memory", id="MemoryError"),
        pytest.param(torch.OutOfMemoryError("CUDA"), "out_of_memory", id="OutOfMemoryError"),
        pytest.param(WorkerFailedError("known"), "worker_failed", id="ProblemError"),
    ],
)
def test_only_the_failing_photo_gets_the_problem(error: Exception, code: str) -> None:
    net = FakeNetwork(on_the_failing_photo(error))
    answers = pipeline(net).run(jobs_of(*(plain(SMALL, label) for label in (4, FAILING, 6))))
    assert labels_or_codes(answers) == [4, code, 6]


def test_a_failed_pass_holds_no_memory_during_the_single_passes_after_it() -> None:
    class Activation:
        pass

    held: list[weakref.ref[Activation]] = []

    def fail(photos: Sequence[Pixels]) -> None:
        if len(photos) > 1:
            activation = Activation()  # lives as long as this frame, which the traceback keeps
            held.append(weakref.ref(activation))
            raise MemoryError
        gc.collect()
        assert held[0]() is None

    answers = pipeline(FakeNetwork(fail)).run(jobs_of(plain(SMALL, 1), plain(SMALL, 2)))
    assert labels_or_codes(answers) == [1, 2]


def test_an_unforeseen_error_is_logged_and_not_in_the_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    net = FakeNetwork(on_the_failing_photo(RuntimeError("secret weights")))
    with caplog.at_level(logging.ERROR, "handlers"):
        jobs = [
            Job(plain(SMALL, label), WorkerOptions(request_id=f"id-{label}"))
            for label in (1, FAILING)
        ]
        answer = pipeline(net).run(jobs)[1]
    assert b"secret" not in answer.body
    assert "secret weights" in caplog.text
    assert [fields_of(record) for record in caplog.records] == [{"request_id": f"id-{FAILING}"}]


def test_a_stage_is_added_to_a_copy_and_its_times_add_up() -> None:
    figures = GroupFigures(2, 30, 40)
    opened = Outcome("photo", "id", {"plan": 1.0})
    passed = opened.with_stage("forward", 2.0, figures).with_stage("forward", 3.0)
    assert opened.stages_ms == {"plan": 1.0}
    assert passed == Outcome("photo", "id", {"plan": 1.0, "forward": 5.0}, figures)
    assert passed.with_value("labels").then("encode", len).group == figures
