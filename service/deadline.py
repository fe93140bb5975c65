"""A request's deadline: an option in, and what is raised when it passes.

What a request asks for counts from its arrival. The server's own begins when the body is complete:
until then the least rate of a body decides (`service.body.limits`), for a slow line is no fault.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Request

from handlers.shared.errors import ProblemError
from service.context import context_of
from service.errors import DeadlineError, InvalidOptionError
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment of the loop's clock, and the words for having missed it."""

    at: float
    within: str
    after_body_s: float | None = None  # which it begins to count; None: it counts already

    @classmethod
    def of(cls, request: Request, timeout_ms: int | None, settings: Settings) -> "Deadline":
        """Count from the request's arrival, if it asks for that; raises InvalidOptionError."""
        checked_ms = checked_timeout_ms(timeout_ms, settings)
        within = (
            f"within {checked_ms} ms; try again, or allow more with timeout_ms= "
            f"(up to {settings.max_timeout_ms})"
        )
        if timeout_ms is None:
            return cls(math.inf, within, checked_ms / 1000)
        return cls(context_of(request).arrived_s + checked_ms / 1000, within)

    def with_body(self) -> "Deadline":
        """Return what holds from now on, when the body is complete."""
        if self.after_body_s is None:
            return self
        return Deadline(asyncio.get_running_loop().time() + self.after_body_s, self.within)

    @asynccontextmanager
    async def for_mask(self) -> AsyncIterator[None]:
        """Raise DeadlineError when it passes inside."""
        async with due(self.at, DeadlineError(f"no mask {self.within}")):
            yield


def checked_timeout_ms(timeout_ms: int | None, settings: Settings) -> int:
    """Hold `timeout_ms=` to the server's limit; raises InvalidOptionError."""
    if timeout_ms is None:
        return settings.timeout_ms
    if timeout_ms > settings.max_timeout_ms:
        raise InvalidOptionError(
            f"timeout_ms: {str(timeout_ms)[:40]} is above the limit, {settings.max_timeout_ms}; "
            "ask for less, or raise FCNSERVE_MAX_TIMEOUT_MS"
        )
    return timeout_ms


@asynccontextmanager
async def due(at: float, problem: ProblemError) -> AsyncIterator[None]:
    """Raise `problem` when the loop's clock passes `at` inside."""
    try:
        async with asyncio.timeout_at(at):
            yield
    except TimeoutError as error:
        raise problem from error
