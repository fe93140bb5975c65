"""Kept connections to TorchServe: requests in, answers out, over as many connections as it takes.

Their number is not limited here: callers limit how many requests are sent at a time. The
connection that was used last is used next, so that those that a peak has left are idle, and close.
Used by `service.backend.client`.
"""

import asyncio
import ssl
from collections.abc import Sequence

from service.backend.connection import Buffer, Connection
from service.backend.upstream_answer import UpstreamAnswer
from service.errors import ConnectionBrokenError, NotReadyError, WorkerSilentError
from service.inference_address import InferenceAddress

CONNECT_TIMEOUT_S = 2.0
# TorchServe itself never closes a connection that is idle
MAX_IDLE_S = 15.0

NO_CONNECTION = "the worker is starting or gone; try again shortly"
NO_ANSWER = (
    "the worker has not answered within {timeout_s:g} s: this image is lost; try again, or raise "
    "FCNSERVE_ATTEMPT_TIMEOUT_S if it is that slow"
)


class Connections:
    """The connections to one address."""

    def __init__(
        self,
        address: InferenceAddress,
        max_answer_bytes: int,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        max_idle_s: float = MAX_IDLE_S,
    ) -> None:
        """Take the address, how many bytes an answer may have, and limits in time."""
        self._address = address
        self._max_answer_bytes = max_answer_bytes
        self._connect_timeout_s = connect_timeout_s
        self._max_idle_s = max_idle_s
        self._tls = ssl.create_default_context() if address.is_tls else None
        self._idle: list[Connection] = []  # the one that was used last at the end
        self._open: set[Connection] = set()
        self._is_closed = False
        self._closing_idle: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    async def post(
        self,
        target: str,
        headers: Sequence[tuple[bytes, bytes]],
        body: Sequence[Buffer],
        timeout_s: float,
    ) -> UpstreamAnswer:
        """Send a request and return the answer, of whatever status.

        A kept connection may turn out to have been closed by TorchServe: then, and before any byte
        of an answer, the request is repeated once. Raises NotReadyError where there is no
        connection, ConnectionBrokenError where it breaks, and WorkerSilentError after `timeout_s`.
        """
        request = (self._head(target, headers, body), *body)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(request)
        except TimeoutError as error:
            raise WorkerSilentError(NO_ANSWER.format(timeout_s=timeout_s)) from error

    async def close(self) -> None:
        """Close all connections, which ends the requests on them."""
        self._is_closed = True
        for connection in tuple(self._open):
            connection.abort()
        if self._closing_idle is not None:
            self._closing_idle.cancel()

    def _head(
        self, target: str, headers: Sequence[tuple[bytes, bytes]], body: Sequence[Buffer]
    ) -> bytes:
        """Write a request's head. Raises ValueError where a part of it has a line break."""
        path = f"{self._address.prefix}{target}"
        body_bytes = sum(map(len, body))
        lines = (
            b"POST %b HTTP/1.1" % path.encode("ascii"),
            b"Host: %b" % self._address.authority.encode("ascii"),
            b"Content-Length: %d" % body_bytes,
            *[b"%b: %b" % header for header in headers],
        )
        head = b"\r\n".join((*lines, b"", b""))
        if head.count(b"\n") != len(lines) + 1 or head.count(b"\r") != len(lines) + 1:
            raise ValueError("a header of a request to TorchServe has a line break")
        return head

    async def _exchange(self, request: Sequence[Buffer]) -> UpstreamAnswer:
        if self._idle:
            connection = self._idle.pop()
            try:
                return await self._exchange_on(connection, request)
            except ConnectionBrokenError:
                if connection.has_answer_begun or self._is_closed:
                    raise
        return await self._exchange_on(await self._connect(), request)

    async def _exchange_on(
        self, connection: Connection, request: Sequence[Buffer]
    ) -> UpstreamAnswer:
        """Exchange, and keep the connection if it can be used again."""
        answer = await connection.exchange(request)
        if connection.is_idle:
            self._keep(connection)
        else:
            connection.abort()
        return answer

    async def _connect(self) -> Connection:
        """Open a connection; raises NotReadyError."""
        loop, address = asyncio.get_running_loop(), self._address
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                if address.socket_path:
                    opening = loop.create_unix_connection(self._new, address.socket_path)
                    return (await opening)[1]
                name = (address.server_name or address.host) if self._tls else None
                opening_tcp = loop.create_connection(
                    self._new, address.host, address.port, ssl=self._tls, server_hostname=name
                )
                return (await opening_tcp)[1]
        except OSError as error:  # TimeoutError included
            raise NotReadyError(NO_CONNECTION) from error

    def _new(self) -> Connection:
        return Connection(self._max_answer_bytes, self._open)

    def _keep(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        connection.idle_since_s = loop.time()
        self._idle.append(connection)
        if self._closing_idle is None:
            self._closing_idle = loop.call_later(self._max_idle_s, self._close_idle)

    def _close_idle(self) -> None:
        """Close what has been idle for long, and look again as long as anything is."""
        loop = asyncio.get_running_loop()
        oldest_s = loop.time() - self._max_idle_s
        for connection in self._idle:
            if connection.idle_since_s <= oldest_s:
                connection.abort()
        self._idle = [connection for connection in self._idle if connection.is_idle]
        self._closing_idle = None
        if self._idle:
            self._closing_idle = loop.call_later(self._max_idle_s, self._close_idle)
