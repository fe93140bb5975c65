"""A request of several images: each passes the same steps, and gets the same answer, as if it were
sent alone.

A multipart form goes in; `multipart/mixed` or, for outputs in JSON, one list comes out, with one
outcome an image, in order. Called by `service.api.routes`.
"""

import asyncio
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

import structlog
from fastapi import Request, Response

from handlers.shared.errors import ProblemError
from service.auth.authenticator import charge_further_images
from service.body.content_type import check_is_multipart, images_of_batch
from service.body.multipart import Upload
from service.body.read import BATCH_ADVICE, IMAGE_ADVICE, body_too_large
from service.context import context_of
from service.deadline import Deadline
from service.errors import InternalError
from service.metrics.requests import RequestMetrics
from service.metrics.stage_times import TOTAL, StageTimes
from service.pipeline.admission import Permit
from service.pipeline.awaited import WhileAwaited
from service.pipeline.batch_response import ImageAnswer, Outcome, respond
from service.pipeline.options import RequestOptions
from service.pipeline.query import BATCH_MEDIA_OUTPUTS, SegmentQuery
from service.pipeline.read import BodyForm, BodyLimit
from service.pipeline.segment import Segmenter

logger = structlog.get_logger("fcnserve.batch")


@dataclass(frozen=True, slots=True)
class Batch:
    """What is the same for all images of a request."""

    segmenter: Segmenter
    options: RequestOptions
    deadline: Deadline
    read_ms: float
    request_id: str

    async def outcome(self, upload: Upload, permit: AbstractContextManager[Permit]) -> Outcome:
        """Segment one image; a failure concerns this image alone."""
        stages = StageTimes()
        stages.add("read", self.read_ms)
        try:
            with permit as held:
                result: ImageAnswer | ProblemError = await self._segment(upload.body, held, stages)
        except ProblemError as problem:
            result = problem
        except Exception as error:
            logger.exception("image failed", request_id=self.request_id, exc_info=error)
            result = InternalError("the gateway failed on this image; its log has the reason")
        return Outcome(upload.filename, result, stages)

    async def _segment(self, body: bytes, permit: Permit, stages: StageTimes) -> ImageAnswer:
        steps = self.segmenter
        max_body_bytes = steps.settings.max_body_bytes
        if len(body) > max_body_bytes:
            raise body_too_large(len(body), max_body_bytes, IMAGE_ADVICE)
        with self.deadline.enforced():
            image = await steps.admit(body, self.options, permit, stages)
            mask = await steps.dispatch(image, self.options, stages)
            rendered = await steps.render(mask, image, self.options, stages)
        return ImageAnswer(rendered, mask.model)


async def segment_batch(segmenter: Segmenter, request: Request, query: SegmentQuery) -> Response:
    """Answer a request of several images; raises ProblemError for what concerns all of them."""
    context = context_of(request)
    deadline = Deadline.of(context, query.timeout_ms, segmenter.settings)
    model = segmenter.models.resolve(query.model)
    check_is_multipart(request)
    limit = BodyLimit(segmenter.settings.max_batch_body_bytes, BATCH_ADVICE)
    form = BodyForm.of(request, limit, partial(images_of_batch, request))
    body = await segmenter.read.body(request, context, model, deadline, limit)
    deadline = deadline.at_body_end()
    with (
        segmenter.read.admission.permit(model, len(body)) as permit,
        WhileAwaited(context, deadline) as awaited,
    ):
        images = await segmenter.read.content(body, form, permit, context.stages)
        del body  # the images are copies
        context.image_count = len(images)
        charge_further_images(request, len(images))
        options = await segmenter.options.read(request, query, model, BATCH_MEDIA_OUTPUTS)
        awaited.due_s = math.inf  # from here on, each image has the deadline for itself
        read_ms = context.stages.ms["read"]
        batch = Batch(segmenter, options, deadline, read_ms, context.request_id)
        outcomes = await outcomes_of(batch, images, permit)
    count_rejections(outcomes, segmenter.metrics)
    context.stages.add(TOTAL, (asyncio.get_running_loop().time() - context.arrived_s) * 1000)
    return respond(outcomes, options.render.output)


async def outcomes_of(batch: Batch, images: Sequence[Upload], permit: Permit) -> list[Outcome]:
    """Segment all images at once, each with a permit; the request's own is that of the first."""
    admission, model = batch.segmenter.read.admission, batch.options.model
    first, *others = images
    return await asyncio.gather(
        batch.outcome(first, nullcontext(permit)),
        *(batch.outcome(upload, admission.permit(model)) for upload in others),
    )


def count_rejections(outcomes: Sequence[Outcome], metrics: RequestMetrics) -> None:
    for outcome in outcomes:
        if isinstance(outcome.result, ProblemError):
            metrics.reject(outcome.result.code)
