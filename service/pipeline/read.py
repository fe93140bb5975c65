"""The first step, read: a request whose body is still arriving goes in, its bytes come out, and
from them, once the request has a permit, its images.

Bytes are limited while they arrive (`service.body.budget`); the permit is taken once the body is
complete, so that a slow request takes none from the others. Called by `service.pipeline.segment`
and `service.pipeline.batch`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from fastapi import Request

from service.body.budget import BodyBudget
from service.body.content_encoding import Decompressor, content_coding
from service.body.read import declared_body_bytes, read_body
from service.context import RequestContext
from service.deadline import Deadline
from service.metrics.stage_times import StageTimes
from service.pipeline.admission import Admission, Permit

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """The most bytes that a body may have, and the advice for one that has more."""

    max_bytes: int
    advice: str


@dataclass(slots=True)
class BodyForm(Generic[T]):
    """How a request's body becomes its images: its limit, its `Content-Encoding`, its parser."""

    limit: BodyLimit
    coding: str
    parse: Callable[[bytes], Awaitable[T]]

    @classmethod
    def of(
        cls, request: Request, limit: BodyLimit, parse: Callable[[bytes], Awaitable[T]]
    ) -> "BodyForm[T]":
        """Read the request's headers; raises UnsupportedContentCodingError."""
        return cls(limit, content_coding(request.headers), parse)


@dataclass(frozen=True, slots=True)
class ReadStep:
    """Reads the bodies of all requests of a gateway process."""

    admission: Admission
    budget: BodyBudget
    decompressor: Decompressor

    async def body(
        self,
        request: Request,
        context: RequestContext,
        model: str,
        deadline: Deadline,
        limit: BodyLimit,
    ) -> bytes:
        """Read a request's bytes, which the caller then takes a permit for; raises ProblemError."""
        announced = declared_body_bytes(request, limit.max_bytes, limit.advice)
        self.admission.check_announced(model, announced)
        with context.stages.timing("read"):
            if context.has_complete_body:  # most: none of it is still arriving
                return await read_body(request, limit.max_bytes, None, limit.advice)
            with self.budget.arriving(deadline) as arrival:
                return await read_body(request, limit.max_bytes, arrival, limit.advice)

    async def content(
        self, body: bytes, form: BodyForm[T], permit: Permit, stages: StageTimes
    ) -> T:
        """Decompress and parse a body; raises ProblemError."""
        with stages.timing("read"):
            if form.coding:
                body = await self.decompressor.decompress(
                    body, form.coding, form.limit.max_bytes, permit.add_bytes, form.limit.advice
                )
            return await form.parse(body)
