"""Several images in one request: each is answered as if it had been sent alone.

A form comes in; `multipart/mixed` or, for outputs in JSON, one list goes out, with one outcome an
image, in order. Called by `service.api.routes`.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import structlog
from fastapi import Request, Response

from handlers.shared.errors import PROBLEM_MEDIA_TYPE, ProblemError
from service.auth.authenticator import charge_further_images
from service.body.content_encoding import content_coding
from service.body.content_type import check_is_multipart, images_of_batch
from service.body.multipart import Upload
from service.body.multipart_mixed import MixedPart, part_headers, write_mixed
from service.body.read import (
    BATCH_ADVICE,
    IMAGE_ADVICE,
    body_too_large,
    declared_body_bytes,
    read_body,
)
from service.context import context_of
from service.deadline import Deadline
from service.errors import InternalError
from service.metrics.stage_times import TOTAL, StageTimes
from service.pipeline.admission import Permit
from service.pipeline.disconnect import while_connected
from service.pipeline.options import RequestOptions
from service.pipeline.query import BATCH_MEDIA_OUTPUTS, SegmentQuery
from service.pipeline.segment import SegmentAnswer, Segmenter, content_digest
from service.problem_response import problem_headers, problem_response
from service.render import Output

JSON_OUTPUTS = {Output.rle, Output.polygons, Output.summary}

logger = structlog.get_logger("fcnserve.batch")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one image: its answer or its problem."""

    filename: str
    result: SegmentAnswer | ProblemError
    stages: StageTimes

    @property
    def body(self) -> bytes:
        """The same bytes that the image would have been answered with alone."""
        if isinstance(self.result, ProblemError):
            return bytes(problem_response(self.result).body)
        return self.result.rendered.body

    @property
    def headers(self) -> dict[str, str]:
        """The headers that the image would have been answered with alone."""
        timing = {"Server-Timing": self.stages.server_timing()}
        if isinstance(self.result, ProblemError):
            digest = {"Content-Digest": content_digest(self.body)}
            retry = {"Retry-After": self.retry_after} if self.retry_after else {}
            return {"Content-Type": PROBLEM_MEDIA_TYPE, **digest, **retry, **timing}
        return {"Content-Type": self.result.rendered.media_type, **self.result.headers, **timing}

    @property
    def retry_after(self) -> str:
        problem = self.result
        headers = problem_headers(problem) if isinstance(problem, ProblemError) else {}
        return headers.get("Retry-After", "")


@dataclass(frozen=True, slots=True)
class Batch:
    """One request's images, and what is the same for all of them."""

    segmenter: Segmenter
    wanted: RequestOptions
    deadline: Deadline
    read_ms: float
    request_id: str

    async def outcome(self, upload: Upload, slot: AbstractContextManager[Permit]) -> Outcome:
        """See one image through; whatever goes wrong is its own."""
        stages = StageTimes()
        stages.add("read", self.read_ms)
        try:
            with slot as place:
                result: SegmentAnswer | ProblemError = await self._answer(
                    upload.body, place, stages
                )
        except ProblemError as problem:
            result = problem
        except Exception as error:
            logger.exception("image failed", request_id=self.request_id, exc_info=error)
            result = InternalError("the gateway failed on this image; its log has the reason")
        return Outcome(upload.filename, result, stages)

    async def _answer(self, body: bytes, place: Permit, stages: StageTimes) -> SegmentAnswer:
        max_body_bytes = self.segmenter.settings.max_body_bytes
        if len(body) > max_body_bytes:
            raise body_too_large(len(body), max_body_bytes, IMAGE_ADVICE)
        async with self.deadline.enforced():
            return await self.segmenter.answer(body, self.wanted, place, stages)


async def segment_batch(segmenter: Segmenter, request: Request, query: SegmentQuery) -> Response:
    """Answer a request of several images; raises ProblemError for what concerns all of them."""
    context = context_of(request)
    stages = context.stages
    deadline = Deadline.of(context, query.timeout_ms, segmenter.settings)
    admission = segmenter.admission
    model = segmenter.models.resolve(query.model)
    check_is_multipart(request)
    coding = content_coding(request.headers)
    max_bytes = segmenter.settings.max_batch_body_bytes
    admission.check(model, declared_body_bytes(request, max_bytes, BATCH_ADVICE))
    with stages.timing("read"):
        async with segmenter.reading.arriving(deadline) as arrival:
            body = await read_body(request, max_bytes, arrival, BATCH_ADVICE)
    deadline = deadline.at_body_end()
    with admission.slot(model) as place:  # the request's place is that of its first image
        place.hold_bytes(len(body))
        async with while_connected(request):
            async with deadline.enforced():
                with stages.timing("read"):
                    body = await segmenter.unpacking.decompress(
                        body, coding, max_bytes, place.hold_bytes, BATCH_ADVICE
                    )
                    uploads = await images_of_batch(request, body)
            context.image_count = len(uploads)
            charge_further_images(request, len(uploads))
            async with deadline.enforced():
                wanted = await segmenter.wanted(request, query, BATCH_MEDIA_OUTPUTS)
            batch = Batch(segmenter, wanted, deadline, stages.ms["read"], context.request_id)
            first, *others = uploads
            outcomes = await asyncio.gather(
                batch.outcome(first, nullcontext(place)),
                *(batch.outcome(upload, admission.slot(model)) for upload in others),
            )
    for outcome in outcomes:
        if isinstance(outcome.result, ProblemError):
            segmenter.metrics.reject(outcome.result.code)
    stages.add(TOTAL, (asyncio.get_running_loop().time() - context.arrived_s) * 1000)
    return respond(outcomes, as_json=wanted.render.output in JSON_OUTPUTS)


def respond(outcomes: Sequence[Outcome], *, as_json: bool) -> Response:
    """Write all outcomes in order."""
    if as_json:
        body = b"[" + b",".join(outcome.body for outcome in outcomes) + b"]"
        media_type = "application/json"
    else:
        body, media_type = write_mixed(
            [
                MixedPart(
                    {**outcome.headers, **part_headers(index, outcome.filename)}, outcome.body
                )
                for index, outcome in enumerate(outcomes)
            ]
        )
    return Response(body, media_type=media_type, headers=headers_of_all(body, outcomes))


def headers_of_all(body: bytes, outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Name the model (both, where it was exchanged in between), and when to send again what found
    no place.
    """
    headers = {"Content-Digest": content_digest(body)}
    answered = [outcome.result for outcome in outcomes if isinstance(outcome.result, SegmentAnswer)]
    if answered:
        headers["X-Model"] = ", ".join(dict.fromkeys(answer.model for answer in answered))
    if waits := [int(outcome.retry_after) for outcome in outcomes if outcome.retry_after]:
        headers["Retry-After"] = str(max(waits))
    return headers
