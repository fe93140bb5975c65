"""The way of a photo through the gateway, step by step: read, admit, dispatch, render.

A request comes in, its response goes out. `POST /v1/segment` in `service/api/routes.py` calls
`Segmenter.segment`; `service.pipeline.batch` runs the same steps for each of several images.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from fastapi import Request, Response

from service.backend.registry import ModelRegistry
from service.body.content_type import image_extractor
from service.body.read import IMAGE_ADVICE
from service.context import context_of
from service.deadline import Deadline
from service.metrics.requests import RequestMetrics
from service.pipeline.admit import AdmitStep
from service.pipeline.awaited import WhileAwaited
from service.pipeline.dispatch import DispatchStep
from service.pipeline.options import OptionsReader
from service.pipeline.query import SegmentQuery
from service.pipeline.read import BodyForm, BodyLimit, ReadStep
from service.pipeline.render import RenderStep
from service.render import Rendered
from service.settings import Settings


@dataclass(frozen=True)
class Segmenter:
    """The steps, what they need to begin, and the metrics of requests."""

    settings: Settings
    models: ModelRegistry
    options: OptionsReader
    read: ReadStep
    admit: AdmitStep
    dispatch: DispatchStep
    render: RenderStep
    metrics: RequestMetrics

    @cached_property
    def body_limit(self) -> BodyLimit:
        return BodyLimit(self.settings.max_body_bytes, IMAGE_ADVICE)

    async def segment(self, request: Request, query: SegmentQuery) -> Response:
        """Answer a request of one image; raises ProblemError, or ClientDisconnect."""
        context = context_of(request)
        stages = context.stages
        deadline = Deadline.of(context, query.timeout_ms, self.settings)
        model, parse = self.models.resolve(query.model), image_extractor(request)
        form = BodyForm.of(request, self.body_limit, parse)
        body = await self.read.body(request, context, model, deadline, form.limit)
        with (
            self.read.admission.permit(model, len(body)) as permit,
            WhileAwaited(context, deadline.at_body_end()),
        ):
            body = await self.read.content(body, form, permit, stages)
            with stages.timing("admit"):
                options = await self.options.read(request, query, model)
            image = await self.admit(body, options, permit, stages)
            mask = await self.dispatch(image, options, stages)
            rendered = await self.render(mask, image, options, stages)
        return MaskResponse(rendered, mask.model)


class MaskResponse(Response):
    """An answer with a mask: the headers that Starlette's own class would find out are known."""

    def __init__(self, rendered: Rendered, model: str) -> None:
        self.status_code = 200
        self.background = None
        self.body = rendered.body
        self.raw_headers = [
            (b"content-digest", content_digest(rendered.body).encode()),
            (b"x-model", model.encode("latin-1")),
            (b"content-length", b"%d" % len(rendered.body)),
            (b"content-type", rendered.media_type.encode()),
        ]


def answer_headers(body: bytes, model: str) -> Mapping[str, str]:
    """Return the headers by which a client can verify and reproduce an answer."""
    return {"Content-Digest": content_digest(body), "X-Model": model}


def content_digest(body: bytes) -> str:
    """Return the value of `Content-Digest` (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
