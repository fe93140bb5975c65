"""The main job, verb by verb: read, admit, (wait, decode, plan, forward, encode, hold), render.

A request comes in, its answer goes out; the verbs in brackets are the worker's, but that an image
waits in the gateway's line first.
"""

import asyncio
import base64
import hashlib
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

from fastapi import Request, Response

from handlers.shared import photo
from handlers.shared.errors import PROBLEM_MEDIA_TYPE, ProblemError, read_problem
from handlers.shared.frame import Frame
from service.backend.client import TorchServeClient, WorkerAnswer
from service.backend.dispatcher import Dispatcher
from service.backend.health import Health
from service.backend.queue import Bounds, QueueEntry
from service.backend.registry import ModelRegistry
from service.backend.retry import Retry
from service.body.budget import BodyBudget
from service.body.content_encoding import Decompressor, content_coding
from service.body.content_type import image_extractor
from service.body.read import IMAGE_ADVICE, declared_body_bytes, read_body
from service.context import context_of
from service.deadline import Deadline
from service.errors import (
    ConnectionBrokenError,
    ModelMissingError,
    NotReadyError,
    WorkerCrashedError,
    WorkerSilentError,
)
from service.metrics.gateway import Metrics
from service.metrics.stage_times import StageTimes
from service.pipeline.admission import Admission, Permit
from service.pipeline.disconnect import while_connected
from service.pipeline.options import RequestOptions
from service.pipeline.query import MEDIA_OUTPUTS, SegmentQuery, negotiate
from service.render import Output, Rendered, passes_through, render
from service.settings import Settings

# the header of a larger body is read in a thread: it may hold metadata in thousands of pieces
INLINE_HEADER_BYTES = 64_000
# larger photos are rendered by threads of their own: others do not wait for one
LARGE_PIXELS = 4_000_000
# that an image is sent to where each was exchanged before its answer could be rendered
MOST_MODELS = 3
# of attempts that got no answer of the worker's
OUTCOMES: Mapping[type[ProblemError], str] = {
    NotReadyError: "not_ready",
    ModelMissingError: "not_ready",
    WorkerCrashedError: "crashed",
    ConnectionBrokenError: "crashed",
    WorkerSilentError: "timed_out",
}


@dataclass(frozen=True, slots=True)
class Image:
    """A photo that was admitted: its file, its own pixels, how large the network will see it, and
    what it costs.
    """

    body: bytes
    pixels: int
    frame: Frame
    cost_s: float


@dataclass(frozen=True, slots=True)
class SegmentAnswer:
    """One image's answer, and the model (name@digest) that it comes from."""

    rendered: Rendered
    model: str

    @property
    def headers(self) -> dict[str, str]:
        """Let a client check and reproduce the answer."""
        return {"Content-Digest": content_digest(self.rendered.body), "X-Model": self.model}


@dataclass(frozen=True, slots=True)
class Segmenter:
    """What the main job needs of the house."""

    settings: Settings
    upstream: TorchServeClient
    models: ModelRegistry
    admission: Admission
    reading: BodyBudget
    unpacking: Decompressor
    dispatchers: Mapping[str, Dispatcher]
    health: Health
    metrics: Metrics
    renderers: Executor

    async def segment(self, request: Request, query: SegmentQuery) -> Response:
        """Answer one request; raises ProblemError, or ClientDisconnect."""
        context = context_of(request)
        stages = context.stages
        deadline = Deadline.of(context, query.timeout_ms, self.settings)
        model = self.models.resolve(query.model)
        take, coding = image_extractor(request), content_coding(request.headers)
        max_bytes = self.settings.max_body_bytes
        self.admission.check(model, declared_body_bytes(request, max_bytes))
        with stages.timing("read"):
            async with self.reading.arriving(deadline) as arrival:
                body = await read_body(request, max_bytes, arrival)
        deadline = deadline.at_body_end()
        with self.admission.slot(model) as place:
            place.hold_bytes(len(body))
            async with while_connected(request), deadline.enforced():
                with stages.timing("read"):
                    body = await self.unpacking.decompress(
                        body, coding, max_bytes, place.hold_bytes, IMAGE_ADVICE
                    )
                    image = await take(body)
                with stages.timing("admit"):
                    wanted = await self.wanted(request, query)
                answered = await self.answer(image, wanted, place, stages)
        rendered = answered.rendered
        return Response(rendered.body, media_type=rendered.media_type, headers=answered.headers)

    async def wanted(
        self,
        request: Request,
        query: SegmentQuery,
        media_outputs: Mapping[str, Output] = MEDIA_OUTPUTS,
    ) -> RequestOptions:
        """Check a request's options, which are the same for all of its images."""
        model = self.models.resolve(query.model)
        accept = ",".join(request.headers.getlist("accept"))
        output, accept_jpeg = negotiate(query.output, accept, media_outputs)
        card = await self._retry.until_answered(model, lambda _: self.models.card(model))
        request_id = context_of(request).request_id
        return RequestOptions.of(
            query, model, card, output, accept_jpeg=accept_jpeg, request_id=request_id
        )

    async def answer(
        self, body: bytes, wanted: RequestOptions, place: Permit, stages: StageTimes
    ) -> SegmentAnswer:
        """Answer for one image; raises ProblemError. Deadlines are the caller's."""
        with stages.timing("admit"):
            image = await self._admit(body, wanted)
            place.hold_seconds(image.cost_s)
        for _ in range(MOST_MODELS):
            answer = await self._ask(image, wanted, stages)
            with stages.timing("render"):
                rendered = await self._render(answer, image, wanted)
            if rendered is not None:
                self.metrics.observe_stages(stages, wanted.model)
                return SegmentAnswer(rendered, answer.model)
        raise NotReadyError(
            f"the model {wanted.model} is being exchanged, and was again while this image was "
            "segmented; send it again"
        )

    async def _admit(self, body: bytes, wanted: RequestOptions) -> Image:
        """Check all that can be checked without a worker; return what it would work on."""
        if len(body) > INLINE_HEADER_BYTES:
            header = await asyncio.to_thread(self._check_photo, body)
        else:
            header = self._check_photo(body)
        self.metrics.observe_photo(header.height * header.width)
        cost_s = wanted.cost_s(header, len(body), self.settings.max_image_seconds)
        return Image(body, header.height * header.width, wanted.frame(header), cost_s)

    def _check_photo(self, body: bytes) -> photo.Header:
        header = photo.read_header(body, self.settings.formats)
        photo.check_pixels(header, self.settings.max_pixels)
        return header

    async def _ask(self, image: Image, wanted: RequestOptions, stages: StageTimes) -> WorkerAnswer:
        """Have the worker segment the photo, and account for its time and that in the line.

        After a crash the worker is told so: it runs what may be to blame with nothing beside it.
        """
        started = time.perf_counter()
        dispatcher = self.dispatchers[wanted.model]
        entry = dispatcher.entry(image.frame, image.cost_s, self._bounds(wanted))
        for put_off in count():
            is_long = entry.is_long
            job = partial(self._hand_over, image, wanted, is_long=is_long, put_off=put_off)
            answer = await self._retry.until_answered(
                wanted.model, partial(run_job, dispatcher, entry, job)
            )
            if not answer.is_put_off:
                break
        stages.add_upstream((time.perf_counter() - started) * 1000, answer.report.stages_ms)
        if answer.media_type == PROBLEM_MEDIA_TYPE:
            raise read_problem(answer.body)
        return answer

    def _bounds(self, wanted: RequestOptions) -> Bounds:
        return wanted.card.dispatch_bounds.share(self.settings.gateway_processes)

    @property
    def _retry(self) -> Retry:
        return Retry(self.health, self.metrics, self.settings.restart_wait_s)

    async def _hand_over(
        self, image: Image, wanted: RequestOptions, *, is_long: bool, suspect: bool, put_off: int
    ) -> WorkerAnswer:
        """Goes on when the client has gone: the answer tells of its whole batch."""
        options = wanted.worker_options(
            image.cost_s, is_long=is_long, suspect=suspect, deferrals=put_off
        )
        try:
            answer = await self.upstream.send(wanted.model, image.body, options)
        except ProblemError as problem:
            self.metrics.attempt(wanted.model, OUTCOMES.get(type(problem), "problem"))
            raise
        self.metrics.attempt(wanted.model, answer.outcome)
        self.health.saw_answer(wanted.model)
        self.models.saw_tag(wanted.model, answer.model)
        self.metrics.reports.observe(answer.report, answer.model)
        return answer

    async def _render(
        self, answer: WorkerAnswer, image: Image, wanted: RequestOptions
    ) -> Rendered | None:
        """Render with the legend of the model that the answer is from; None where that model went
        before it told it.
        """
        if passes_through(wanted.render):
            return Rendered(answer.body, answer.media_type)
        card = await self._retry.until_answered(
            wanted.model, lambda _: self.models.card_of(wanted.model, answer.model)
        )
        if card is None:
            return None
        options = wanted.render_under(card)
        work = partial(render, answer.body, image.body, options, card.legend)
        threads = self.renderers if image.pixels > LARGE_PIXELS else None  # or any
        return await asyncio.get_running_loop().run_in_executor(threads, work)


def run_job(
    dispatcher: Dispatcher,
    entry: QueueEntry,
    job: Callable[..., Coroutine[Any, Any, WorkerAnswer]],
    crashed: bool,
) -> Coroutine[Any, Any, WorkerAnswer]:
    """Hand an image over when it is its turn, `crashed` where a worker has crashed with it."""
    return dispatcher.run(entry, partial(job, suspect=crashed))


def content_digest(body: bytes) -> str:
    """Write the value of `Content-Digest` (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
