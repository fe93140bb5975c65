"""The options of a request, checked against the card of the model that it names.

A request's query and `Accept` header go in, options that the model can fulfil come out. Called by
`service.pipeline.segment` and `service.pipeline.batch`, once for all images of a request.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    MEDIA_OUTPUTS,
    MediaOutputs,
    SegmentQuery,
    class_ids,
    negotiate,
)
from service.render import Output, RenderOptions


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """Options that a model can fulfil, and that model's card."""

    model: str
    card: ModelCard
    max_side: int | None
    render: RenderOptions
    classes: Sequence[str] | None
    request_id: str

    def render_with(self, card: ModelCard) -> RenderOptions:
        """Return the options for rendering an answer of this card's model, which may be newer than
        the one that the request was checked against; raises InvalidOptionError for a class that it
        does not have.
        """
        return replace(self.render, classes=class_ids(self.classes, card.classes))

    def worker_options(self, cost_s: float) -> WorkerOptions:
        """Return the worker's options for one image."""
        return WorkerOptions(
            output="confidence" if self.render.output is Output.confidence else "mask",
            orientation=self.render.orientation,
            max_side=self.max_side,
            cost_s=cost_s,
            request_id=self.request_id,
        )

    def frame(self, header: photo.Header) -> Frame:
        """Return the frame at which the network will see a photo."""
        size = header.size(self.render.orientation)
        return Frame.of(photo.fit(*size, self.max_side or self.card.working_max_side))

    def cost_s(self, header: photo.Header, body_bytes: int, max_image_seconds: float) -> float:
        """Predict a photo's cost in CPU seconds; raises ImageTooCostlyError."""
        confidence = self.render.output is Output.confidence
        work = Work.of(header, body_bytes, self.frame(header).pixels, confidence=confidence)
        return check_cost(work, self.card.costs, self.card.image_limit_s(max_image_seconds))


@dataclass(frozen=True, slots=True)
class OptionsReader:
    """Reads the card of the named model, and checks options against it."""

    models: ModelRegistry
    retry: Retry

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
        output, accept_jpeg = negotiate(query.output, accept, media_outputs)
        card = self.models.known(model)
        if card is None:
            card = await self.retry.until_answered(model, lambda _: self.models.card(model))
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
        request_id = context_of(request).request_id
        return RequestOptions(model, card, max_side, render, query.classes, request_id)


def checked_max_side(max_side: int | None, card: ModelCard) -> int | None:
    """Check `max_side=` against the model's limit; raises InvalidOptionError."""
    if max_side is not None and max_side > card.max_side_limit:
        raise InvalidOptionError(
            f"max_side: {max_side} is above the limit of {card.name}, {card.max_side_limit}; "
            "ask for less, or raise max_side_limit in its model.yaml"
        )
    return max_side
