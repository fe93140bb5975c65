"""One request and its answer, as uvicorn has them, with what `service.server.connection` adds: a
body that turns out to be none ends its request at once, and a body that nobody wants does not hold
on to its connection.
"""

import asyncio
import logging
from typing import Any, Protocol

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from handlers.shared.errors import ProblemError
from service.context import context_of

logger = logging.getLogger("uvicorn.error")


class Outgoing(Protocol):
    """What an answer is written to."""

    def write(self, data: Any) -> None: ...

    def is_closing(self) -> bool: ...

    def close(self) -> None: ...

    def stays_open(self) -> bool:
        """Tell whether a request may follow on the same connection."""

    def on_response_complete(self) -> None: ...


class RequestCycle(RequestResponseCycle):
    """A request that is being read or answered."""

    def __init__(
        self,
        scope: Any,
        outgoing: Outgoing,
        flow: FlowControl,
        default_headers: list[tuple[bytes, bytes]],
        *,
        asks_first: bool,
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
            expect_100_continue=asks_first,
            keep_alive=keep_alive,
            on_response=outgoing.on_response_complete,
        )
        self._outgoing = outgoing
        self._context = context_of(scope)
        self._problem: ProblemError | None = None

    def end_body(self) -> None:
        """Say that the body is whole."""
        self.more_body = False
        self.message_event.set()

    def fail(self, problem: ProblemError) -> None:
        """Answer with a problem instead: before the application has begun, or when it reads on."""
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
        if not self.response_started and not self._outgoing.stays_open():
            self.keep_alive = False
        await super().send(message)
