"""What a connection is held to before a request is one: HTTP on a socket, with bounds in time and
bytes.

uvicorn waits for a head for ever and keeps whatever comes, keeps an answer that nobody reads, and
closes on senders who have not read theirs. Made by uvicorn, once a connection; see
`service.server`.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from handlers.errors import ProblemError
from service.errors import BadHttpError
from service.limits import LAST_WORD_S, MAX_HEAD_BYTES, PARTING_S, TAKEN_BYTES, Limits, too_large

# keys of the state that a request is given
DRAINING, REFUSAL = "draining", "refusal"


class Connection(HttpToolsProtocol):
    """One client's connection.

    `_reading` runs while the client owes a head, or what is left of a body that nobody waits for;
    the deadline of a body that is being read is its request's. `_writing` runs while it owes to
    take what was sent.
    """

    def __init__(self, limits: Limits, **of_uvicorn: Any) -> None:
        super().__init__(**of_uvicorn)
        self._limits = limits
        self._in_head = False
        self._head_bytes = 0
        self._is_parting = False
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        crowd = len(self.connections)
        super().connection_made(transport)
        self._outgoing = Outgoing(transport, self)
        limit = self._limits.max_connections
        if crowd >= 2 * limit:  # those told to go, too, are as many as the limit
            transport.abort()
        elif crowd >= limit:
            self._refuse(self._limits.too_many(crowd))
        else:
            self._await_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._outgoing.close = self.transport.abort  # or it would keep this connection alive
        self._stop_reading()
        self._stop_writing()

    @property
    def is_answering(self) -> bool:
        """Tell whether a request is here whose answer has not been written."""
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn denies the None
        return cycle is not None and not cycle.response_complete

    def shutdown(self) -> None:
        """Close once nobody waits for an answer; called by uvicorn when it listens no more."""
        if self.is_answering:
            self.cycle.keep_alive = False
        elif not self._in_head and not self._is_parting:
            self._await_reading(LAST_WORD_S)

    # what comes

    def data_received(self, data: bytes) -> None:
        if self._is_parting:
            return
        head = self.headers if self._in_head else None
        super().data_received(data)
        if self._in_head and self.headers is head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(too_large(self._head_bytes))
        if self._reading is None and not self.is_answering and not self.transport.is_closing():
            self._await_reading()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0
        self._stop_reading()  # each head has its own time

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_reading()
        lines = sum(len(name) + len(value) + 4 for name, value in self.headers)  # ": ", "\r\n"
        if (head_bytes := len(self.url) + lines) > MAX_HEAD_BYTES:
            problem = too_large(head_bytes)
            self._refuse(problem)
            raise problem  # stops the parser
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - as uvicorn calls it
        """Answer what is no HTTP as everything is answered; called by uvicorn."""
        if not self._is_parting:
            self._refuse(BadHttpError("this is no HTTP/1.1 request; send one (RFC 9112)"))

    def _await_reading(self, seconds: float | None = None) -> None:
        self._stop_reading()
        self._reading = self.loop.call_later(
            self._limits.header_timeout_s if seconds is None else seconds, self._give_up_reading
        )

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _give_up_reading(self) -> None:
        """The client has owed something for too long."""
        self._reading = None
        if self._is_parting:
            self.transport.abort()
        elif self._in_head:
            self._refuse(self._limits.too_slow())
        else:
            self.part()

    # what goes

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.transport = self._outgoing  # type: ignore[assignment]  # all that a cycle uses
        if self.app_state.get(DRAINING) and not self.pipeline:
            cycle.keep_alive = False
        super()._start_asgi_task(cycle, app)

    def _refuse(self, problem: ProblemError) -> None:
        """Have the application answer with a problem, as for any request, and part; what else
        comes is thrown away.
        """
        self._is_parting, self._in_head = True, False
        self._stop_reading()
        previous_is_answered = not self.is_answering
        super().on_message_begin()
        self.scope |= {"method": "-", "path": "/", "raw_path": b"/", "query_string": b""}
        self.scope["state"][REFUSAL] = problem
        self.cycle = RequestResponseCycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )
        if previous_is_answered:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.pipeline.appendleft((self.cycle, self.app))

    def part(self) -> None:
        """Close; first only the way out, if there may be more to come: closing on what has not
        been read resets the connection, and takes the answer from who is still sending (RFC 9112,
        9.6).
        """
        if self.transport.is_closing():
            return
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or not (cycle.more_body or self.pipeline):
            self.transport.close()
            return
        self._is_parting = True
        self.pipeline.clear()
        self.transport.write_eof()
        self.flow.resume_reading()
        self._await_reading(PARTING_S)

    def on_response_complete(self) -> None:
        self._await_writing()
        if self._is_parting and not self.pipeline:
            self.server_state.total_requests += 1
            return
        super().on_response_complete()
        owes = self._in_head or self.cycle.more_body
        if owes and not self.is_answering and not self.transport.is_closing():
            self._await_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_writing()

    def _await_writing(self) -> None:
        self._stop_writing()
        if left_bytes := self.transport.get_write_buffer_size():
            self._writing = self.loop.call_later(
                self._limits.write_timeout_s, self._check_taken, left_bytes
            )

    def _stop_writing(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def _check_taken(self, before_bytes: int) -> None:
        """Cut a client off that hardly takes its answer."""
        self._writing = None
        left_bytes = self.transport.get_write_buffer_size()
        if left_bytes > max(0, before_bytes - TAKEN_BYTES):
            self.transport.abort()
        else:
            self._await_writing()


class Outgoing:
    """What a request's answer is written to: its connection's transport, closed with care."""

    def __init__(self, transport: asyncio.Transport, connection: Connection) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = connection.part
