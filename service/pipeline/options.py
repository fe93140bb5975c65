"""What a request wants of its photos: its options, checked against the model's card."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from handlers.shared import photo
from handlers.shared.cost import Work, check_cost
from handlers.shared.frame import Frame
from handlers.shared.wire import WorkerOptions
from service.backend.registry import ModelCard
from service.errors import InvalidOptionError
from service.pipeline.query import SegmentQuery, class_ids
from service.render import Output, RenderOptions


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """Options that a model can fulfil."""

    model: str
    card: ModelCard
    max_side: int | None
    render: RenderOptions
    classes: Sequence[str] | None
    request_id: str

    @classmethod
    def of(
        cls,
        query: SegmentQuery,
        model: str,
        card: ModelCard,
        output: Output,
        *,
        accept_jpeg: bool,
        request_id: str,
    ) -> "RequestOptions":
        """Check classes and sizes; raises InvalidOptionError."""
        return cls(
            model,
            card,
            checked_max_side(query.max_side, card),
            RenderOptions(
                output,
                class_ids(query.classes, card.classes),
                query.min_area,
                query.alpha,
                query.orientation,
                accept_jpeg,
                query.legend,
            ),
            query.classes,
            request_id,
        )

    def render_under(self, card: ModelCard) -> RenderOptions:
        """Say how to render an answer of this model, which may have come after the request was
        checked against another; raises InvalidOptionError for a class that it has not.
        """
        return replace(self.render, classes=class_ids(self.classes, card.classes))

    def worker_options(
        self, cost_s: float, *, is_long: bool, suspect: bool, deferrals: int
    ) -> WorkerOptions:
        """Make the worker's options for an attempt with one image."""
        return WorkerOptions(
            output="confidence" if self.render.output is Output.confidence else "mask",
            orientation=self.render.orientation,
            max_side=self.max_side,
            cost_s=cost_s,
            is_long=is_long,
            deferrals=deferrals,
            suspect=suspect,
            request_id=self.request_id,
        )

    def frame(self, header: photo.Header) -> Frame:
        """Say how large the network will see a photo, its frame's padding included."""
        size = header.size(self.render.orientation)
        return Frame.of(photo.fit(*size, self.max_side or self.card.working_max_side))

    def cost_s(self, header: photo.Header, body_bytes: int, max_image_seconds: float) -> float:
        """Predict a photo's cost; raises ImageTooCostlyError."""
        confidence = self.render.output is Output.confidence
        work = Work.of(header, body_bytes, self.frame(header).pixels, confidence=confidence)
        return check_cost(work, self.card.costs, self.card.image_limit_s(max_image_seconds))


def checked_max_side(max_side: int | None, card: ModelCard) -> int | None:
    """Hold `max_side=` to the model's limit; raises InvalidOptionError."""
    if max_side is not None and max_side > card.max_side_limit:
        raise InvalidOptionError(
            f"max_side: {max_side} is above the limit of {card.name}, {card.max_side_limit}; "
            "ask for less, or raise max_side_limit in its model.yaml"
        )
    return max_side
