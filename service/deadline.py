"""A request's deadline: `timeout_ms=` comes in, DeadlineError is raised when the time is over.

A deadline of the request's own counts from its arrival. The server's own, the setting
`timeout_ms`, counts from the end of the body: until then the minimum rate of a body applies
(`service.body.budget`), because a slow connection is no error. Made by `service.pipeline`.
"""

import asyncio
import math
from typing import NamedTuple

from service.context import RequestContext
from service.errors import DeadlineError, InvalidOptionError
from service.settings import Settings
from service.tasks.interruption import Interruption


class Deadline(NamedTuple):
    """A moment of the event loop's clock, in seconds, and its description for error messages."""

    at_s: float
    within: str
    after_body_s: float | None = None  # counts from the end of the body; None: `at_s` holds

    @classmethod
    def of(cls, context: RequestContext, timeout_ms: int | None, settings: Settings) -> "Deadline":
        """Make the deadline of a request; raises InvalidOptionError for too large a timeout."""
        checked_ms = checked_timeout_ms(timeout_ms, settings)
        within = (
            f"within {checked_ms} ms; try again, or allow more with timeout_ms= "
            f"(up to {settings.max_timeout_ms})"
        )
        if timeout_ms is None:
            return cls(math.inf, within, checked_ms / 1000)
        return cls(context.arrived_s + checked_ms / 1000, within)

    def at_body_end(self) -> "Deadline":
        """Return the deadline that holds from now on, the end of the body."""
        if self.after_body_s is None:
            return self
        return Deadline(asyncio.get_running_loop().time() + self.after_body_s, self.within)

    def enforced(self) -> "WithinDeadline":
        """Return a block that ends with DeadlineError when the deadline passes inside it."""
        return WithinDeadline(self)

    def error(self) -> DeadlineError:
        """Return what is raised once the deadline has passed."""
        return DeadlineError(f"no mask {self.within}")


class WithinDeadline(Interruption):
    """A block that ends when a deadline passes."""

    __slots__ = ("_deadline",)

    def __init__(self, deadline: Deadline) -> None:
        super().__init__(deadline.at_s)
        self._deadline = deadline

    def overdue(self) -> DeadlineError:
        return self._deadline.error()


def checked_timeout_ms(timeout_ms: int | None, settings: Settings) -> int:
    """Return the timeout that applies, in milliseconds; raises InvalidOptionError above the
    server's limit.
    """
    if timeout_ms is None:
        return settings.timeout_ms
    if timeout_ms > settings.max_timeout_ms:
        raise InvalidOptionError(
            f"timeout_ms: {str(timeout_ms)[:40]} is above the limit, {settings.max_timeout_ms}; "
            "ask for less, or raise FCNSERVE_MAX_TIMEOUT_MS"
        )
    return timeout_ms
