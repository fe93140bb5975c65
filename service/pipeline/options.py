"""The options of a request, checked against the card of the model that it names.

A request's query and `Accept` header go in, options that the model can fulfil come out. Called by
`service.pipeline.segment` and `service.pipeline.batch`, once for all images of a request.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from fastapi import Request

from handlers.shared import photo
from handlers.shared.cost import Work, check_cost
from handlers.shared.frame import Frame
from handlers.shared.wire import WorkerOptions
from service.backend.model_card import ModelCard
from service.backend.registry import ModelRegistry
from service.backend.retry import Retry
from service.context import context_of
from service.errors import InvalidOptionError
from service.pipeline.query import (
    MAX_KEPT,
    MAX_KEPT_LENGTH,
    MEDIA_OUTPUTS,
    MediaOutputs,
    SegmentQuery,
    class_ids,
    negotiate,
)
from service.render import Output, RenderOptions


class RequestOptions(NamedTuple):
    """Options that a model can fulfil, and that model's card."""

    model: str
    card: ModelCard
    max_side: int | None
    render: RenderOptions
    classes: Sequence[str] | None
    worker_options: str  # those of the worker that all images have, as members of a JSON object
    request_id: str = ""
    trace_id: str = ""

    def render_with(self, card: ModelCard) -> RenderOptions:
        """Return the options for rendering an answer of this card's model, which may be newer than
        the one that the request was checked against; raises InvalidOptionError for a class that it
        does not have.
        """
        return replace(self.render, classes=class_ids(self.classes, card.classes))

    def options_of_image(self, cost_s: float, *, is_suspect: bool = False) -> bytes:
        """Write the worker's options for one image, as `WorkerOptions` reads them. All parts are
        valid: the ids have no character that JSON would escape.
        """
        suspect = '"suspect":true,' if is_suspect else ""
        trace = f'"trace_id":"{self.trace_id}",' if self.trace_id else ""
        of_image = f'{suspect}{trace}"cost_s":{cost_s!r},"request_id":"{self.request_id}"'
        return f"{{{self.worker_options}{of_image}}}".encode("ascii")

    def frame(self, header: photo.Header) -> Frame:
        """Return the frame at which the network will see a photo."""
        size = header.size(self.render.orientation)
        return Frame.of(photo.fit(*size, self.max_side or self.card.working_max_side))

    def cost_s(
        self, header: photo.Header, body_bytes: int, frame: Frame, max_image_seconds: float
    ) -> float:
        """Predict a photo's cost in CPU seconds; raises ImageTooCostlyError."""
        confidence = self.render.output is Output.confidence
        work = Work.of(header, body_bytes, frame.pixels, confidence=confidence)
        return check_cost(work, self.card.costs, self.card.image_limit_s(max_image_seconds))


@dataclass(frozen=True, slots=True)
class OptionsReader:
    """Reads the card of the named model, and checks options against it; keeps what the latest
    query strings and `Accept` headers mean for it.
    """

    models: ModelRegistry
    retry: Retry
    _kept: dict[tuple[object, ...], RequestOptions] = field(default_factory=dict)

    async def read(
        self,
        request: Request,
        query: SegmentQuery,
        model: str,
        media_outputs: MediaOutputs = MEDIA_OUTPUTS,
    ) -> RequestOptions:
        """Check a request's options; raises NotAcceptableError, InvalidOptionError, and the
        ProblemError of a card that cannot be read.
        """
        accept = ",".join(request.headers.getlist("accept"))
        context = context_of(request)
        key = (model, request.scope["query_string"], accept, id(media_outputs))
        kept = self._kept.get(key)
        if kept is not None and kept.card is self.models.known(model):
            return RequestOptions(*kept[:-2], context.request_id, context.trace_id)
        output, accept_jpeg = negotiate(query.output, accept, media_outputs)
        card = self.models.known(model)
        if card is None:
            card = await self.retry.until_answered(model, lambda _: self.models.card(model))
        options = self._checked(query, model, card, output, accept_jpeg=accept_jpeg)
        if len(request.scope["query_string"]) + len(accept) <= MAX_KEPT_LENGTH:
            if len(self._kept) == MAX_KEPT:
                self._kept.clear()
            self._kept[key] = options
        return options._replace(request_id=context.request_id, trace_id=context.trace_id)

    def _checked(
        self, query: SegmentQuery, model: str, card: ModelCard, output: Output, *, accept_jpeg: bool
    ) -> RequestOptions:
        max_side = checked_max_side(query.max_side, card)
        render = RenderOptions(
            output,
            class_ids(query.classes, card.classes),
            query.min_area,
            query.alpha,
            query.orientation,
            accept_jpeg,
            query.legend,
        )
        for_worker = WorkerOptions(
            output="confidence" if output is Output.confidence else "mask",
            orientation=query.orientation,
            max_side=max_side,
        )
        members = members_of(for_worker)
        return RequestOptions(model, card, max_side, render, query.classes, members)


def members_of(options: WorkerOptions) -> str:
    """Write options as members of a JSON object, to which others are added."""
    members = options.to_json()[1:-1]
    return members and f"{members},"


def checked_max_side(max_side: int | None, card: ModelCard) -> int | None:
    """Check `max_side=` against the model's limit; raises InvalidOptionError."""
    if max_side is not None and max_side > card.max_side_limit:
        raise InvalidOptionError(
            f"max_side: {max_side} is above the limit of {card.name}, {card.max_side_limit}; "
            "ask for less, or raise max_side_limit in its model.yaml"
        )
    return max_side
