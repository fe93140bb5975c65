"""The end of work on an answer that its client does not await any more.

A request's context and deadline go in; inside the block DeadlineError is raised once the deadline
has passed, ClientDisconnect once the client's connection is closed. Called by
`service.pipeline.segment` and `service.pipeline.batch`.
"""

from starlette.requests import ClientDisconnect

from service.context import RequestContext
from service.deadline import Deadline
from service.tasks.interruption import Interruption


class WhileAwaited(Interruption):
    """The block of a request's work, once its body has been read."""

    __slots__ = ("_context", "_deadline")

    def __init__(self, context: RequestContext, deadline: Deadline) -> None:
        super().__init__(deadline.at_s)
        self._context = context
        self._deadline = deadline

    def begin(self) -> None:
        if self._context.is_disconnected:
            raise ClientDisconnect
        self._context.on_disconnect = self._disconnected

    def end(self) -> None:
        self._context.on_disconnect = None

    def overdue(self) -> Exception:
        return self._deadline.error()

    def _disconnected(self) -> None:
        self.interrupt(ClientDisconnect())
