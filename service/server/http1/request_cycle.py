"""One request and its answer: uvicorn's request cycle, with what `service.server.http1.connection`
adds.

A request can be ended by a problem while its body is read; the end of a body is known before its
last byte is read; and a body that no route reads does not keep its connection.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from handlers.shared.errors import ProblemError
from service.context import context_of

logger = logging.getLogger("uvicorn.error")


@dataclass(slots=True)
class Outgoing:
    """What a request cycle writes to: its connection's transport, closed by the connection."""

    write: Callable[[bytes], None]
    is_closing: Callable[[], bool]
    close: Callable[[], None]
    can_keep_alive: Callable[[], bool]
    on_response_complete: Callable[[], None]

    def release(self) -> None:
        """Drop the references to a connection that is lost."""
        self.close = self.on_response_complete = lambda: None
        self.can_keep_alive = lambda: False


class RequestCycle(RequestResponseCycle):
    """A request that is being read or answered."""

    def __init__(
        self,
        scope: Any,
        outgoing: Outgoing,
        flow: FlowControl,
        default_headers: list[tuple[bytes, bytes]],
        *,
        expects_continue: bool,
        keep_alive: bool,
    ) -> None:
        super().__init__(
            scope=scope,
            transport=outgoing,  # type: ignore[arg-type]  # all that a cycle uses of one
            flow=flow,
            logger=logger,
            access_logger=logger,
            access_log=False,
            default_headers=default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=expects_continue,
            keep_alive=keep_alive,
            on_response=outgoing.on_response_complete,
        )
        self._outgoing = outgoing
        self._context = context_of(scope)
        self._problem: ProblemError | None = None

    def end_body(self) -> None:
        """Mark the body as complete."""
        self.more_body = False
        self.message_event.set()

    def disconnect(self) -> None:
        """Tell the application that the client has disconnected, unless it has its answer."""
        if not self.response_complete:
            self.disconnected = True
            self._context.disconnect()
        self.message_event.set()

    def fail(self, problem: ProblemError) -> None:
        """Have the request answered with a problem: when the application starts on it, or when it
        next reads.
        """
        self._problem = problem
        self.keep_alive = False
        self._context.refusal = problem
        self.message_event.set()

    async def receive(self) -> Any:
        message = await super().receive()
        if self._problem is not None and message["type"] == "http.request":
            raise self._problem
        return message

    async def send(self, message: Any) -> None:
        if not self.response_started and not self._outgoing.can_keep_alive():
            self.keep_alive = False
        await super().send(message)
