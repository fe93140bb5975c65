"""One request and its answer, between a connection and the application (ASGI): `receive` passes on
the body as it arrives, `send` writes the answer. Made by `service.server.http1.connection`.

A request can be ended by a problem while its body is read; the end of a body is known before its
last byte is read; and a body that no route reads does not keep its connection.

Our own instead of uvicorn's cycle, which copies each body three times, writes head and body apart,
and has none of the above.
"""

import asyncio
import logging
from typing import Any, Protocol

from starlette.types import ASGIApp, Message
from uvicorn.protocols.http.flow_control import FlowControl

from handlers.shared.errors import ProblemError
from service.context import RequestContext
from service.server.http1.answer import Answer
from service.server.http1.request_head import RequestHead

FAILURE = b"HTTP/1.1 500 Internal Server Error\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"

logger = logging.getLogger("uvicorn.error")


class AnsweredConnection(Protocol):
    """A connection, as far as a request uses it."""

    transport: asyncio.Transport
    flow: FlowControl

    @property
    def server_lines(self) -> bytes:
        """The lines of headers that each answer has."""

    def can_keep_alive(self) -> bool:
        """Return whether another request may follow the one that is about to be answered."""

    def close(self) -> None:
        """Close once the answer has been sent."""

    def on_response_complete(self) -> None:
        """Go on to the next request."""


class RequestCycle:
    """A request that is being read or answered."""

    def __init__(
        self,
        connection: AnsweredConnection,
        head: RequestHead,
        scope: dict[str, Any],
        context: RequestContext,
    ) -> None:
        self._connection = connection
        self._scope = scope
        self._context = context
        self._keep_alive = head.keep_alive
        self.waiting_for_100_continue = head.expects_continue
        self._more_body = head.framing is not None
        self.body: bytes | bytearray = b""  # that has arrived, and that no route has read
        self._has_news = not self._more_body  # for `receive`
        self._news: asyncio.Event | None = None  # made to wait
        self._problem: ProblemError | None = None
        self._answer: Answer | None = None
        self._is_disconnected = False
        self._is_head_sent = False
        self.response_complete = False

    # from the connection

    def take(self, data: bytes, *, is_last: bool) -> None:
        """Keep a part of the body until the application reads it."""
        if not self.body:
            self.body = data
        else:  # not a list: chunks of one byte would take forty times their size
            self.body = self.body if isinstance(self.body, bytearray) else bytearray(self.body)
            self.body += data
        if is_last:
            self._more_body = False
            self._context.has_complete_body = True
        if data or is_last:
            self._tell()

    def fail(self, problem: ProblemError) -> None:
        """Have the request answered with a problem: when the application starts on it, or when it
        next reads.
        """
        self._problem = self._context.refusal = problem
        self._keep_alive = False
        self._tell()

    def disconnect(self) -> None:
        """Tell the application that the client has disconnected, unless it has its answer."""
        if not self.response_complete:
            self._is_disconnected = True
            self._context.disconnect()
        self._tell()

    # from the application

    async def run(self, app: ASGIApp) -> None:
        """Have the application answer."""
        try:
            await app(self._scope, self.receive, self.send)
        except Exception:
            logger.exception("the application failed on a request")
        finally:
            if not (self.response_complete or self._is_disconnected):
                logger.error("the application has not answered a request, or not to the end")
                if not self._is_head_sent:
                    self._connection.transport.write(FAILURE)
                self._connection.close()

    async def receive(self) -> Message:
        """Return the next part of the body, or the disconnect; raises ProblemError."""
        connection = self._connection
        if self.waiting_for_100_continue and not connection.transport.is_closing():
            connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if not (self._is_disconnected or self.response_complete):
            connection.flow.resume_reading()
            if not self._has_news:
                await self._wait()
            self._has_news = False
        if self._is_disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        if self._problem is not None:
            raise self._problem
        body, self.body = self.body, b""
        return {"type": "http.request", "body": bytes(body), "more_body": self._more_body}

    async def _wait(self) -> None:
        self._news = self._news or asyncio.Event()
        self._news.clear()
        await self._news.wait()

    def _tell(self) -> None:
        """Have `receive` return, now or when it is called."""
        self._has_news = True
        if self._news is not None:
            self._news.set()

    async def send(self, message: Message) -> None:
        """Write a part of the answer; raises RuntimeError for one that is against ASGI or HTTP."""
        flow = self._connection.flow
        if flow.write_paused and not self._is_disconnected:
            await flow.drain()
        if self._is_disconnected:
            return
        if message["type"] == "http.response.start" and self._answer is None:
            self._answer = Answer(
                message["status"],
                message.get("headers", []),
                self._connection.server_lines,
                self._scope["method"] != "HEAD",
            )
        elif message["type"] == "http.response.body" and self._answer is not None:
            self._write(self._answer, message)
        else:
            raise RuntimeError(f"an ASGI message out of order: {message['type']!r}")

    def _write(self, answer: Answer, message: Message) -> None:
        """Write a part of the body; the first one with the head, as ASGI has it."""
        if self.response_complete:
            raise RuntimeError("an ASGI message after the end of the answer")
        is_last = not message.get("more_body", False)
        part = answer.part(message.get("body", b""), is_last=is_last)
        if self._is_head_sent:
            self._connection.transport.write(part)
        else:
            self._connection.transport.writelines([self._head(answer), part])
        if is_last:
            self._complete()

    def _head(self, answer: Answer) -> bytes:
        if answer.closes or not self._connection.can_keep_alive():
            self._keep_alive = False
        self._is_head_sent = True
        self.waiting_for_100_continue = False
        return answer.head(keep_alive=self._keep_alive)

    def _complete(self) -> None:
        self.response_complete = True
        self._tell()
        if not self._keep_alive:
            self._connection.close()
        self._connection.on_response_complete()
