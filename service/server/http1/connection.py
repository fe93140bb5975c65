"""One client's HTTP/1.1 connection, with limits in time and bytes: bytes in, requests to the
application, answers out.

Made by uvicorn for each connection, see `service.server.server`, in place of uvicorn's own
class, of which it uses the flow control. That class has no limits: it drops the body of a request
with `Upgrade` and parses the body's second packet as a request, queues any number of requests and
trailers, waits for a head for ever, keeps an answer that its client does not read, and resets
clients that are still sending. Granian (on hyper) has most limits; it accepts
what two servers in a row may read differently, answers what is no HTTP without a problem, and
resets clients that are still sending: docs/threat-model.md compares the two.

The docstring of `service.server.http1` has a table of a connection's states and their limits.
"""

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl

from handlers.shared.errors import ProblemError
from service.server.http1.asgi_scope import GatewayState, ScopeBuilder
from service.server.http1.connection_limits import (
    LAST_REQUEST_S,
    LINGER_S,
    MAX_PIPELINED_BYTES,
    MAX_UNREAD_REST_BYTES,
    ConnectionLimits,
)
from service.server.http1.open_connections import OpenConnections
from service.server.http1.request_cycle import RequestCycle
from service.server.http1.request_head import REFUSED, RequestHead
from service.server.http1.request_stream import RequestStream
from service.server.http1.timers import ReadTimer, WriteTimer


class Connection(asyncio.Protocol):
    """One client's connection.

    `_read_timer` runs while the client owes a head, or the rest of a body that no route reads; a
    body that a route reads has its request's deadline.
    """

    def __init__(
        self,
        limits: ConnectionLimits,
        open_connections: OpenConnections,
        config: Config,
        server_state: GatewayState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._limits = limits
        self._open_connections = open_connections
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_event_loop()
        self._cycle: RequestCycle | None = None
        self._requests = RequestStream()
        self._is_idle = self._is_last_request = self._is_closing = self._has_sent_eof = False
        self._discarded_bytes = 0
        self._read_timer = ReadTimer(self._loop, limits.min_body_bytes_per_s, self._read_timed_out)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        self.transport = transport
        self.flow = FlowControl(transport)
        self._scopes = ScopeBuilder(transport, self._config, self._server_state, self._app_state)
        self._write_timer = WriteTimer(self._loop, transport, self._limits.write_timeout_s)
        may_be_served = self._open_connections.add(self)
        self._server_state.connections.add(self)  # type: ignore[arg-type]  # all that uvicorn uses
        if may_be_served:
            self._read_timer.start(self._limits.header_timeout_s)
            self._open_connections.mark_awaited(self)
        else:
            self._refuse(self._limits.too_many())

    def connection_lost(self, exc: Exception | None) -> None:
        self._server_state.connections.discard(self)
        self._open_connections.remove(self)
        self._read_timer.close()
        self._write_timer.close()
        if self._cycle is not None:
            self._cycle.disconnect()
            self._cycle = None  # its task may refer to this connection for a while
        self.flow.resume_writing()
        self._requests.discard()
        if exc is None:
            self.transport.close()

    @property
    def is_answering(self) -> bool:
        """Return whether a request is here whose answer is not complete."""
        return self._cycle is not None and not self._cycle.response_complete

    def shutdown(self) -> None:
        """Close once the request in hand is answered; called by uvicorn when it stops listening."""
        self._is_last_request = True
        self._read_timer.may_restart = False
        if not (self.is_answering or self._requests.is_in_head or self._is_closing):
            self._read_timer.start(LAST_REQUEST_S)

    # what arrives

    def data_received(self, data: bytes) -> None:
        if self._is_closing:
            self._discard(data)
            return
        self._requests.receive(data)
        self._parse()

    def _parse(self) -> None:
        """Parse what has arrived: bodies, and heads as long as no request is being answered."""
        requests, was_in_head = self._requests, self._requests.is_in_head
        while requests.pending_bytes and not self._is_closing and not self.transport.is_closing():
            if requests.is_in_body:
                self._take_body()
            elif self.is_answering:
                if requests.pending_bytes > MAX_PIPELINED_BYTES:
                    self.flow.pause_reading()
                break
            elif not self._take_head():
                break
        if not self._is_closing:
            self._set_read_timer(is_new_head=requests.is_in_head and not was_in_head)

    def _set_read_timer(self, *, is_new_head: bool) -> None:
        """Set the time for what the client owes now; each head has its own."""
        is_answering = self.is_answering
        self._mark(is_answering=is_answering)
        if is_answering:
            return
        if not self._read_timer.is_running and self._requests.is_empty:
            self._await_request()
        elif is_new_head or self._is_idle or not self._read_timer.is_running:
            self._is_idle = False
            self._read_timer.start(self._limits.header_timeout_s)

    def _mark(self, *, is_answering: bool) -> None:
        """Note for evictions whether the server waits for this client. While a client does not take
        its answer, sending more is no progress.
        """
        if self._is_closing:
            return
        if self.flow.write_paused:
            self._open_connections.mark_stalled(self)
        elif is_answering and not self._requests.is_in_body:
            self._open_connections.mark_answering(self)
        else:
            self._open_connections.mark_awaited(self)

    def _await_request(self) -> None:
        self._is_idle = True
        keep_alive_s = self._config.timeout_keep_alive
        self._read_timer.start(LAST_REQUEST_S if self._is_last_request else keep_alive_s)

    def _take_head(self) -> bool:
        """Begin the next request, if its head is complete; return whether it is."""
        try:
            head = self._requests.read_head()
        except ProblemError as problem:
            self._refuse(problem)
            return False
        if head is None:
            return False
        self._begin(head)
        return True

    def _take_body(self) -> None:
        """Give the request what has arrived of its body."""
        assert self._cycle is not None  # noqa: S101 - its head arrived first
        try:
            body = self._requests.read_body()
        except ProblemError as problem:
            self._refuse(problem)
            return
        if self._cycle.response_complete:
            self._read_timer.unread_bytes += len(body)
        else:
            self._cycle.take(body, is_last=not self._requests.is_in_body)
            if self._requests.is_in_body and len(self._cycle.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()  # not after the end: a disconnect has to be noticed
        if self._cycle.response_complete and not self._requests.is_in_body:
            self._read_timer.stop()

    def _discard(self, data: bytes) -> None:
        """Read on in a lingering close, up to a limit."""
        self._discarded_bytes += len(data)
        self._read_timer.unread_bytes += len(data)
        if self._discarded_bytes > self._limits.max_linger_bytes:
            self.transport.abort()

    def _read_timed_out(self) -> None:
        if self._is_closing:
            self.transport.abort()
        elif self._requests.is_in_head:
            self._refuse(self._limits.head_too_slow())
        else:
            self.close()

    # what leaves

    def _begin(self, head: RequestHead, refusal: ProblemError | None = None) -> None:
        """Have the application answer."""
        self._read_timer.stop()
        self._is_idle = False
        scope, context = self._scopes.build(head, refusal)
        self._cycle = RequestCycle(self, head, scope, context)
        tasks = self._server_state.tasks
        task = self._loop.create_task(self._cycle.run(self._config.loaded_app))
        task.add_done_callback(tasks.discard)
        tasks.add(task)

    def _refuse(self, problem: ProblemError) -> None:
        """Answer with a problem, through the application as any request is answered, and close. A
        request whose body is being read gets the problem as its answer.
        """
        self._begin_closing()
        if self._cycle is not None and not self._cycle.response_complete:
            self._cycle.fail(problem)
        elif self._requests.is_in_body:
            self.close()
        else:
            self._begin(REFUSED, problem)

    def _begin_closing(self) -> None:
        """Discard from now on what arrives."""
        self._is_closing = True
        self._open_connections.mark_closing(self)
        self._read_timer.stop()
        self._requests.discard()

    def evict(self) -> None:
        """Close for a new connection, while the server waits for this client. A client that has not
        taken half of an answer cannot be sent a problem.
        """
        if self.is_answering and self.flow.write_paused:
            self._begin_closing()
            self.transport.abort()
        elif self.is_answering or self._requests.is_in_head:
            self._refuse(self._limits.evicted())
        else:
            self._begin_closing()
            self.transport.close()

    @property
    def server_lines(self) -> bytes:
        """The lines of headers that each answer has."""
        return self._server_state.server_lines

    def abort(self) -> None:
        """Close at once."""
        self.transport.abort()

    def can_keep_alive(self) -> bool:
        """Return whether another request may follow the one that is about to be answered: unless
        too much of its body has not arrived, or its client may or may not send it, which it cannot
        know without `100 Continue`.
        """
        if self._is_closing:
            return False
        is_last = self._is_last_request or self._server_state.is_draining
        if is_last and not self._requests.pending_bytes:
            return False
        if not self._requests.is_in_body:
            return True
        assert self._cycle is not None  # noqa: S101 - the body has a request
        missing_bytes = self._requests.missing_bytes
        is_short = missing_bytes is not None and missing_bytes <= MAX_UNREAD_REST_BYTES
        return is_short and not self._cycle.waiting_for_100_continue

    def close(self) -> None:
        """Close, by a lingering close where more may arrive."""
        if self.transport.is_closing() or self._has_sent_eof:
            return
        if not (self._is_closing or self._requests.is_in_body or self._requests.pending_bytes):
            self.transport.close()
            return
        self._begin_closing()
        self._has_sent_eof = True
        self.transport.write_eof()
        self.flow.resume_reading()
        self._read_timer.start(LINGER_S)

    def on_response_complete(self) -> None:
        self._server_state.total_requests += 1
        self._write_timer.watch()
        if self._is_closing or self.transport.is_closing():
            return
        self.flow.resume_reading()  # `_parse` pauses it again where much is pipelined
        self._parse()

    def pause_writing(self) -> None:
        self.flow.pause_writing()
        self._write_timer.watch()
        self._mark(is_answering=self.is_answering)

    def resume_writing(self) -> None:
        self.flow.resume_writing()
        self._mark(is_answering=self.is_answering)
