"""What a connection is held to before a request is one: HTTP/1.1 on a socket, with bounds in time
and bytes.

uvicorn's own protocol class takes what llhttp takes, and has no bounds: it drops the body of a
request with `Upgrade`, parses a second packet of it as a request, queues any number of requests and
trailers, waits for a head for ever, keeps an answer that nobody reads, and resets senders who have
not read theirs. Made by uvicorn, once a connection; see `service.server.server`. Of uvicorn it uses
the cycle of request and answer, and the flow control.

A connection is in one of these states, and holds at most:

| state | what it holds, and for how long |
|---|---|
| idle | nothing; `KEEP_ALIVE_S`, or until another needs its place |
| in a head | MAX_HEAD_BYTES and one read; `header_timeout_s` |
| in a body that is read | HIGH_WATER_LIMIT and one read; what the route took is counted there |
| in a body that nobody reads | nothing; KEPT_REST_BYTES, `header_timeout_s` at the least rate |
| being answered | MAX_PENDING_BYTES of later requests and one read; the request's deadline |
| its answer being taken | the answer; `write_timeout_s` for each TAKEN_BYTES, or as if idle |
| told to go | nothing; `parting_bytes`, each PARTING_S at the least rate |

The least rate is `min_body_bytes_per_s`. One read of uvloop's has at most 256 KiB.
"""

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from handlers.shared.errors import ProblemError
from service.context import context_of
from service.server.connection_limits import (
    KEPT_REST_BYTES,
    LAST_WORD_S,
    MAX_PENDING_BYTES,
    PARTING_S,
    TAKEN_BYTES,
    ConnectionLimits,
)
from service.server.framing import Framing
from service.server.open_connections import OpenConnections
from service.server.request_cycle import RequestCycle
from service.server.request_head import HeadReader, RequestHead


class GatewayState(ServerState):
    """What the connections of one process share, and whether the process is about to stop."""

    is_draining = False


class Connection(asyncio.Protocol):
    """One client's connection.

    `_reading` runs while the client owes a head, or what is left of a body that nobody waits for;
    the deadline of a body that is being read is its request's. `_writing` runs while it owes to
    take what was sent.
    """

    def __init__(
        self,
        limits: ConnectionLimits,
        crowd: OpenConnections,
        config: Config,
        server_state: GatewayState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._limits = limits
        self._crowd = crowd
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_event_loop()
        self._cycle: RequestCycle | None = None
        self._head = HeadReader()
        self._framing: Framing | None = None  # of a body that has not come to its end
        self._come = bytearray()  # and not been looked at
        self._is_idle = self._is_going = self._is_parting = self._has_parted = False
        self._dropped_bytes = 0
        self._unread_bytes = 0  # that came and that nobody reads, since `_reading` runs
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        self.transport = transport
        self.flow = FlowControl(transport)
        self._outgoing = Outgoing(transport, self)
        self._from_to = {"client": get_remote_addr(transport), "server": get_local_addr(transport)}
        self._scheme = "https" if is_ssl(transport) else "http"
        has_place = self._crowd.enter(self)
        self._server_state.connections.add(self)  # type: ignore[arg-type]  # all that uvicorn uses
        if has_place:
            self._await_reading(self._limits.header_timeout_s)
            self._crowd.awaits(self)
        else:
            self._refuse(self._limits.too_many())

    def connection_lost(self, exc: Exception | None) -> None:
        self._server_state.connections.discard(self)
        self._crowd.leave(self)
        self._outgoing.release()
        self._stop_reading()
        self._stop_writing()
        if self._cycle is not None:
            self._cycle.disconnected = not self._cycle.response_complete
            self._cycle.message_event.set()
        self.flow.resume_writing()
        self._come.clear()
        if exc is None:
            self.transport.close()

    @property
    def is_answering(self) -> bool:
        """Tell whether a request is here whose answer has not been written."""
        return self._cycle is not None and not self._cycle.response_complete

    def shutdown(self) -> None:
        """Close once nobody waits for an answer; called by uvicorn when it listens no more."""
        self._is_going = True
        if not self.is_answering and not self._head.has_begun and not self._is_parting:
            self._await_reading(LAST_WORD_S)

    # what comes

    def data_received(self, data: bytes) -> None:
        if self._is_parting:
            self._drop(data)
            return
        if self._framing is not None and not self._come:
            data = self._take_body(data)
        self._come += data
        self._look()

    def _look(self) -> None:
        """Find what has come: bodies, and heads as long as none is being answered."""
        had_begun = self._head.has_begun
        while self._come and not self._is_parting and not self.transport.is_closing():
            if self._framing is not None:
                self._come = bytearray(self._take_body(bytes(self._come)))
            elif self.is_answering:
                if len(self._come) > MAX_PENDING_BYTES:
                    self.flow.pause_reading()
                break
            elif not self._take_head():
                break
        if not self._is_parting:
            self._note(is_new=self._head.has_begun and not had_begun)

    def _note(self, *, is_new: bool) -> None:
        """Set the time for what the client owes now; each head has its own."""
        self._show_who_waits()
        if self.is_answering:
            return
        if self._reading is None and not (self._head.has_begun or self._framing or self._come):
            self._idle()
        elif is_new or self._is_idle or self._reading is None:
            self._is_idle = False
            self._await_reading(self._limits.header_timeout_s)

    def _show_who_waits(self) -> None:
        """Tell the other connections whether the server waits for this client. While one does not
        take its answer, what else it sends is no sign of life.
        """
        if self._is_parting:
            return
        if self.flow.write_paused:
            self._crowd.stalls(self)
        elif self.is_answering and self._framing is None:
            self._crowd.serves(self)
        else:
            self._crowd.awaits(self)

    def _idle(self) -> None:
        """Wait for the next request."""
        self._is_idle = True
        self._await_reading(LAST_WORD_S if self._is_going else self._config.timeout_keep_alive)

    def _take_head(self) -> bool:
        """Begin with the next request, if its head is here."""
        try:
            head = self._head.read(self._come)
        except ProblemError as problem:
            self._refuse(problem)
            return False
        if head is None:
            return False
        self._head = HeadReader()
        self._framing = head.framing
        self._begin(self._scope(head), asks_first=head.asks_first, keep_alive=head.keep_alive)
        return True

    def _take_body(self, data: bytes) -> bytes:
        """Give the request what is its body's; return the rest."""
        assert self._framing is not None  # noqa: S101 - asked by the callers
        assert self._cycle is not None  # noqa: S101 - which came first
        try:
            body, behind = self._framing.take(data)
        except ProblemError as problem:
            self._refuse(problem)
            return b""
        if self._cycle.response_complete:
            self._unread_bytes += len(body)
        elif body:
            self._cycle.body += body
            self._cycle.message_event.set()
            if len(self._cycle.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
        if self._framing.is_complete:
            self._framing = None
            self._cycle.end_body()
            if self._cycle.response_complete:
                self._stop_reading()
        return behind

    def _drop(self, data: bytes) -> None:
        """Read what nobody wants, so that its sender reads why; not for ever."""
        self._dropped_bytes += len(data)
        self._unread_bytes += len(data)
        if self._dropped_bytes > self._limits.parting_bytes:
            self.transport.abort()

    def _await_reading(self, seconds: float) -> None:
        self._stop_reading()
        self._unread_bytes = 0
        self._reading = self._loop.call_later(seconds, self._check_come, seconds)

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _check_come(self, seconds: float) -> None:
        """Give up a client that owes something, unless it is a body that nobody reads and that
        comes as fast as one has to: its sender reads the answer when it has sent all.
        """
        self._reading = None
        least_bytes = seconds * self._limits.min_body_bytes_per_s
        if self._unread_bytes >= least_bytes and not self._is_going:
            self._await_reading(seconds)
        elif self._is_parting:
            self.transport.abort()
        elif self._head.has_begun:
            self._refuse(self._limits.too_slow())
        else:
            self.part()

    # what goes

    def _scope(self, head: RequestHead | None) -> dict[str, Any]:
        """Describe a request to the application; None: one that it is to refuse."""
        scope = {
            "type": "http",
            "asgi": {"version": self._config.asgi_version, "spec_version": "2.3"},
            "http_version": head.http_version if head else "1.1",
            **self._from_to,
            "scheme": self._scheme,
            "method": head.method if head else "-",
            "root_path": self._config.root_path,
            "path": self._config.root_path + (head.path if head else "/"),
            "raw_path": self._config.root_path.encode("ascii") + (head.raw_path if head else b"/"),
            "query_string": head.query if head else b"",
            "headers": head.headers if head else [],
            "state": self._app_state.copy(),
        }
        context_of(scope).is_draining = self._server_state.is_draining
        return scope

    def _begin(self, scope: dict[str, Any], *, asks_first: bool, keep_alive: bool) -> None:
        """Have the application answer."""
        self._stop_reading()
        self._is_idle = False
        self._cycle = RequestCycle(
            scope,
            self._outgoing,
            self.flow,
            self._server_state.default_headers,
            asks_first=asks_first,
            keep_alive=keep_alive,
        )
        if self._framing is None and not self._is_parting:
            self._cycle.end_body()
        tasks = self._server_state.tasks
        task = self._loop.create_task(self._cycle.run_asgi(self._config.loaded_app))
        task.add_done_callback(tasks.discard)
        tasks.add(task)

    def _refuse(self, problem: ProblemError) -> None:
        """Answer with a problem, as any request is answered, and part; what else comes is thrown
        away. A request whose body is being read is answered so itself.
        """
        self._tell_to_go()
        if self._cycle is not None and not self._cycle.response_complete:
            self._cycle.fail(problem)
        elif self._framing is not None:
            self.part()
        else:
            scope = self._scope(None)
            context_of(scope).refusal = problem
            self._begin(scope, asks_first=False, keep_alive=False)

    def _tell_to_go(self) -> None:
        self._is_parting = True
        self._crowd.parts(self)
        self._stop_reading()
        self._come.clear()

    def give_way(self) -> None:
        """Leave the place to a new connection; called when the server waits for this one. Who has
        not taken the half of an answer cannot be told why.
        """
        if self.is_answering and self.flow.write_paused:
            self._tell_to_go()
            self.transport.abort()
        elif self.is_answering or self._head.has_begun:
            self._refuse(self._limits.gave_way())
        else:
            self._tell_to_go()
            self.transport.close()

    def cut(self) -> None:
        """Leave at once."""
        self.transport.abort()

    def stays_open(self) -> bool:
        """Tell whether another request may follow the one that is about to be answered: unless too
        much of its body is to come, or the sender has been left to guess whether to send it.
        """
        if self._is_parting:
            return False
        if (self._is_going or self._server_state.is_draining) and not self._come:
            return False
        if self._framing is None:
            return True
        assert self._cycle is not None  # noqa: S101 - it has a body
        left_bytes = self._framing.left_bytes
        is_little = left_bytes is not None and left_bytes <= KEPT_REST_BYTES
        return is_little and not self._cycle.waiting_for_100_continue

    def part(self) -> None:
        """Close; first only the way out, if there may be more to come: closing on what has not
        been read resets the connection, and takes the answer from who is still sending (RFC 9112,
        9.6).
        """
        if self.transport.is_closing() or self._has_parted:
            return
        if not (self._is_parting or self._framing or self._come):
            self.transport.close()
            return
        self._tell_to_go()
        self._has_parted = True
        self.transport.write_eof()
        self.flow.resume_reading()
        self._await_reading(PARTING_S)

    def on_response_complete(self) -> None:
        self._server_state.total_requests += 1
        self._await_writing()
        if self._is_parting or self.transport.is_closing():
            return
        self.flow.resume_reading()  # `_look` pauses it again where much is pending
        self._look()

    def pause_writing(self) -> None:
        self.flow.pause_writing()
        self._await_writing()
        self._show_who_waits()

    def resume_writing(self) -> None:
        self.flow.resume_writing()
        self._show_who_waits()

    def _await_writing(self) -> None:
        self._stop_writing()
        if left_bytes := self.transport.get_write_buffer_size():
            self._writing = self._loop.call_later(
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
        self.stays_open = connection.stays_open
        self.on_response_complete = connection.on_response_complete

    def release(self) -> None:
        """Hold on to the connection no longer, which is gone."""
        self.close = self.on_response_complete = lambda: None
        self.stays_open = lambda: False
