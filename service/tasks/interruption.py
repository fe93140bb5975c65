"""The early end of a task's work: a block of code, ended from outside or at a time.

asyncio's timeouts end a block at a time, with TimeoutError; a request's work also ends when its
client disconnects, or when another body needs its room, and each of these has an exception of its
own. Used by `service.deadline`, `service.body.budget` and `service.pipeline.awaited`.
"""

import asyncio
import math
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Interruption(ABC):
    """A block of the current task; `interrupt` raises an exception in it, where it waits.

    Blocks may be inside each other and inside asyncio's timeouts; a task that is cancelled
    elsewhere, too, stays cancelled.
    """

    __slots__ = ("_cancelled_before", "_loop", "_reason", "_task", "_timer", "due_s")

    def __init__(self, due_s: float) -> None:
        """Take the loop time at which `overdue` ends the block; it may be set to a later one while
        the block runs.
        """
        self.due_s = due_s
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[object] | None = None
        self._reason: Exception | None = None
        self._timer: asyncio.TimerHandle | None = None

    @abstractmethod
    def overdue(self) -> Exception:
        """Return the exception of a block that still runs at `due_s`."""

    def begin(self) -> None:  # noqa: B027 - nothing, unless overridden
        """Do what comes before the block; what this raises, the block raises."""

    def end(self) -> None:  # noqa: B027 - nothing, unless overridden
        """Do what comes after the block, however it has ended."""

    def interrupt(self, reason: Exception) -> None:
        """End the block with an exception, unless it has ended, or one ends it already."""
        if self._task is not None and self._reason is None:
            self._reason = reason
            self._task.cancel()

    def __enter__(self) -> Self:
        self.begin()
        self._task = asyncio.current_task(self._loop)
        assert self._task is not None  # noqa: S101 - a coroutine runs in a task
        self._cancelled_before = self._task.cancelling()
        self._set_timer()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()
        task, self._task = self._task, None
        if self._timer is not None:
            self._timer.cancel()
        if self._reason is None or task is None:
            return
        is_cancelled_elsewhere = task.uncancel() > self._cancelled_before
        if kind is asyncio.CancelledError and not is_cancelled_elsewhere:
            raise self._taken_reason() from error

    def _taken_reason(self) -> Exception:
        """Return the reason and forget it: a frame of its traceback that referred to it would keep
        all that the frames refer to, until the next garbage collection.
        """
        reason, self._reason = self._reason, None
        assert reason is not None  # noqa: S101 - called where there is one
        return reason

    def _set_timer(self) -> None:
        if self.due_s < math.inf:
            self._timer = self._loop.call_at(self.due_s, self._check_due)

    def _check_due(self) -> None:
        if self._loop.time() < self.due_s:  # set to a later time meanwhile
            self._set_timer()
        else:
            self.interrupt(self.overdue())
