"""The end of a batch: encoded masks in, one answer per image out, all at the same time.

TorchServe sends the answers of a batch together, so a finished mask is held until the slowest is
encoded. Called by `handlers.pipeline`.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from handlers.job import Answer, Job
from handlers.log import with_fields
from handlers.shared.errors import ProblemError, WorkerFailedError
from handlers.shared.wire import PNG_MEDIA_TYPE, Report
from handlers.stages.codecs import CodecCall
from handlers.stages.encode import Mask
from handlers.stages.outcome import Outcome

logger = logging.getLogger(__name__)


def hold(encoding: Mapping[int, CodecCall[Outcome[Mask]]]) -> dict[int, Answer]:
    """Wait for the slowest mask, and make the answers."""
    encoded = {index: call.result() for index, call in encoding.items()}
    now = time.perf_counter()
    return {
        index: answer_of(outcome.with_stage("hold", (now - outcome.ended) * 1000))
        for index, outcome in encoded.items()
    }


def answer_of(outcome: Outcome[Mask]) -> Answer:
    mask = outcome.value
    if isinstance(mask, ProblemError):
        return Answer.of_problem(mask, Report(outcome.stages_ms, group=outcome.group))
    report = Report(outcome.stages_ms, group=outcome.group, class_pixels=mask.class_pixels)
    return Answer(mask.png, PNG_MEDIA_TYPE, report)


def with_batch_size(answers: dict[int, Answer]) -> dict[int, Answer]:
    """Put the number of images into the first one's report, so that each batch is counted once."""
    if not answers:
        return answers
    first = min(answers)
    report = replace(answers[first].report, batch_images=len(answers))
    return answers | {first: replace(answers[first], report=report)}


def in_order(answers: Mapping[int, Answer], count: int) -> list[Answer]:
    """List the answers of a batch; an image that has none, by a defect, gets a problem."""
    lost = [index for index in range(count) if index not in answers]
    if lost:
        logger.error("%d of %d images of a batch have no outcome", len(lost), count)
        problem = WorkerFailedError("the worker lost this image, which is a defect; try again")
        answers = {**answers, **dict.fromkeys(lost, Answer.of_problem(problem, Report({})))}
    return [answers[index] for index in range(count)]


def log_images(jobs: Sequence[Job | ProblemError], answers: Sequence[Answer]) -> None:
    """Log a line per image, with its request's id; made at level debug only."""
    if not logger.isEnabledFor(logging.DEBUG):
        return
    for job, answer in zip(jobs, answers, strict=True):
        ids = job.ids if isinstance(job, Job) else {}
        stages_ms = {verb: round(ms, 1) for verb, ms in answer.report.stages_ms.items()}
        fields = with_fields(**ids, media_type=answer.media_type, **stages_ms)
        logger.debug("image", extra=fields)
