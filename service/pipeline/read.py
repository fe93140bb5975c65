"""The first step, read: a request whose body is still arriving goes in, its images come out, with a
permit that holds for as long as they are in work.

Bytes are limited while they arrive (`service.body.budget`); the permit is taken once the body is
complete, so that a slow request takes none from the others. Called by `service.pipeline.segment`
and `service.pipeline.batch`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from fastapi import Request

from service.body.budget import BodyBudget
from service.body.content_encoding import Decompressor, content_coding
from service.body.read import declared_body_bytes, read_body
from service.context import context_of
from service.deadline import Deadline
from service.pipeline.admission import Admission, Permit
from service.pipeline.awaited import WhileAwaited

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """The most bytes that a body may have, and the advice for one that has more."""

    max_bytes: int
    advice: str


@dataclass(frozen=True, slots=True)
class Received(Generic[T]):
    """What a body contained, the permit of its request, and the deadline of its answer, which
    `awaited` enforces.
    """

    content: T
    permit: Permit
    deadline: Deadline
    awaited: WhileAwaited


@dataclass(frozen=True, slots=True)
class ReadStep:
    """Reads the bodies of all requests of a gateway process."""

    admission: Admission
    budget: BodyBudget
    decompressor: Decompressor

    @asynccontextmanager
    async def __call__(
        self,
        request: Request,
        model: str,
        deadline: Deadline,
        limit: BodyLimit,
        parse: Callable[[bytes], Awaitable[T]],
    ) -> AsyncIterator[Received[T]]:
        """Read, decompress and parse a body; the permit holds until the block ends.

        Raises ProblemError, and inside the block DeadlineError once the deadline has passed,
        ClientDisconnect once the client disconnects.
        """
        context, coding = context_of(request), content_coding(request.headers)
        stages = context.stages
        announced = declared_body_bytes(request, limit.max_bytes, limit.advice)
        self.admission.check_announced(model, announced)
        with stages.timing("read"), self.budget.arriving(deadline) as arrival:
            body = await read_body(request, limit.max_bytes, arrival, limit.advice)
        deadline = deadline.at_body_end()
        with (
            self.admission.permit(model, len(body)) as permit,
            WhileAwaited(context, deadline) as awaited,
        ):
            with stages.timing("read"):
                body = await self.decompressor.decompress(
                    body, coding, limit.max_bytes, permit.add_bytes, limit.advice
                )
                content = await parse(body)
            yield Received(content, permit, deadline, awaited)
