"""The main job, verb by verb: read, admit, (wait, decode, plan, forward, encode, hold), render.

A request comes in, its answer goes out; the verbs in brackets are the worker's.
"""

import asyncio
import base64
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Request, Response

from handlers import photo
from handlers.errors import ProblemError, read_problem
from service.admission import Admission
from service.body import read_image
from service.errors import PROBLEM_MEDIA_TYPE, DeadlineError, InvalidOptionError, ReadTimeoutError
from service.health import Health
from service.metrics import Metrics
from service.models import ModelCard, Models
from service.query import SegmentQuery, class_ids, negotiate
from service.render import Output, Rendered, RenderOptions, passes_through, render
from service.settings import Settings
from service.stages import Stages
from service.upstream import Upstream, WorkerAnswer

# the header of a larger body is read in a thread: it may hold a lot of metadata
INLINE_HEADER_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request's options, checked against the model's card and the server's limits."""

    model: str
    max_side: int | None
    render: RenderOptions

    def worker_options(self) -> dict[str, object]:
        """Say to the worker what it has to know, and nothing that it takes by itself."""
        options: dict[str, object] = {}
        if self.render.output is Output.confidence:
            options["output"] = "confidence"
        if self.render.orientation != "exif":
            options["orientation"] = self.render.orientation
        if self.max_side is not None:
            options["max_side"] = self.max_side
        return options


@dataclass(frozen=True, slots=True)
class Segmenter:
    """What the main job needs of the house."""

    settings: Settings
    upstream: Upstream
    models: Models
    admission: Admission
    health: Health
    metrics: Metrics

    async def segment(self, request: Request, query: SegmentQuery) -> Response:
        """Answer one request; raises ProblemError."""
        stages: Stages = request.state.stages
        timeout_ms = checked_timeout_ms(query.timeout_ms, self.settings)
        deadline = request.state.arrived + timeout_ms / 1000
        within = (
            f"within {timeout_ms} ms; try again, or allow more with timeout_ms= "
            f"(up to {self.settings.max_timeout_ms})"
        )
        with self.admission.slot():
            async with due(deadline, ReadTimeoutError(f"no whole body {within}")):
                with stages.timing("read"):
                    body = await read_image(request, self.settings.max_body_bytes)
            async with due(deadline, DeadlineError(f"no mask {within}")):
                with stages.timing("admit"):
                    accept = ",".join(request.headers.getlist("accept"))
                    wanted = await self._admit(body, query, accept)
                answer = await self._ask(wanted, body, stages)
                with stages.timing("render"):
                    rendered = await self._render(answer, body, wanted)
        self.metrics.observe_stages(stages)
        return respond(rendered, answer.model)

    async def _admit(self, body: bytes, query: SegmentQuery, accept: str) -> Wanted:
        """Check everything that can be checked without a worker's help."""
        model = self.models.resolve(query.model)
        output, accept_jpeg = negotiate(query.output, accept)
        card = await self.models.card(model)
        wanted = Wanted(
            model,
            checked_max_side(query.max_side, card),
            RenderOptions(
                output,
                class_ids(query.classes, card.classes),
                query.min_area,
                query.alpha,
                query.orientation,
                accept_jpeg,
            ),
        )
        if len(body) > INLINE_HEADER_BYTES:
            await asyncio.to_thread(self._check_photo, body)
        else:
            self._check_photo(body)
        return wanted

    def _check_photo(self, body: bytes) -> None:
        header = photo.read_header(body, self.settings.formats)
        photo.check_pixels(header, self.settings.max_pixels)

    async def _ask(self, wanted: Wanted, body: bytes, stages: Stages) -> WorkerAnswer:
        """Have the worker segment the photo, and account for its time."""
        started = time.perf_counter()
        answer = await self.upstream.send(wanted.model, body, wanted.worker_options())
        stages.add_upstream((time.perf_counter() - started) * 1000, answer.report.stages_ms)
        self.health.saw_answer(wanted.model)
        self.models.saw_tag(wanted.model, answer.model)
        self.metrics.observe_report(answer.report)
        if answer.media_type == PROBLEM_MEDIA_TYPE:
            raise read_problem(answer.body)
        return answer

    async def _render(self, answer: WorkerAnswer, body: bytes, wanted: Wanted) -> Rendered:
        if passes_through(wanted.render):
            return Rendered(answer.body, answer.media_type)
        card = await self.models.card(wanted.model)
        return await asyncio.to_thread(render, answer.body, body, wanted.render, card.legend)


def checked_max_side(max_side: int | None, card: ModelCard) -> int | None:
    """Hold `max_side=` to the model's limit; raises InvalidOptionError."""
    if max_side is not None and max_side > card.max_side_limit:
        raise InvalidOptionError(
            f"max_side: {max_side} is above the limit of {card.name}, {card.max_side_limit}; "
            "ask for less, or raise max_side_limit in its model.yaml"
        )
    return max_side


def checked_timeout_ms(timeout_ms: int | None, settings: Settings) -> int:
    """Hold `timeout_ms=` to the server's limit; raises InvalidOptionError."""
    if timeout_ms is None:
        return min(settings.timeout_ms, settings.max_timeout_ms)
    if timeout_ms > settings.max_timeout_ms:
        raise InvalidOptionError(
            f"timeout_ms: {str(timeout_ms)[:40]} is above the limit, {settings.max_timeout_ms}; "
            "ask for less, or raise FCNSERVE_MAX_TIMEOUT_MS"
        )
    return timeout_ms


def respond(rendered: Rendered, model: str) -> Response:
    """Write the answer, with what lets a client check and reproduce it."""
    digest = base64.b64encode(hashlib.sha256(rendered.body).digest()).decode()
    headers = {"Content-Digest": f"sha-256=:{digest}:", "X-Model": model}
    return Response(rendered.body, media_type=rendered.media_type, headers=headers)


@asynccontextmanager
async def due(deadline: float, problem: ProblemError) -> AsyncIterator[None]:
    """Raise `problem` when the loop's clock passes `deadline` inside."""
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError as error:
        raise problem from error
