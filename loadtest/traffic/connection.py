"""One kept connection of a load client: a request's bytes in, its answer out.

Costs a fraction of what a server's side costs, so that on a machine which both share the server is
measured and not the client. Called by `loadtest.traffic.concurrent_clients`.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httptools


class ConnectionLostError(ConnectionError):
    """The server has closed the connection before the answer's end."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A complete answer; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_last: bool  # the server closes the connection


class Connection(asyncio.Protocol):
    """Sends one request after the other; the parser calls the `on_` methods."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._answered: asyncio.Future[HttpAnswer]
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._pieces: list[bytes] = []

    @classmethod
    async def to(cls, url: str, socket_path: str = "") -> "Connection":
        """Connect to the host and port of a URL, or to a socket on this machine."""
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        if socket_path:
            return (await loop.create_unix_connection(cls, socket_path))[1]
        _, connection = await loop.create_connection(cls, parts.hostname or "", parts.port or 80)
        return connection

    async def send(self, request: bytes) -> HttpAnswer:
        """Send a request and wait for its answer; raises ConnectionLostError."""
        self._answered = asyncio.get_running_loop().create_future()
        if self._transport.is_closing():
            raise ConnectionLostError
        self._transport.write(request)
        return await self._answered

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's, which can write

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        answered = getattr(self, "_answered", None)
        if answered is not None and not answered.done():
            answered.set_exception(ConnectionLostError(str(error or "closed")))

    def on_message_begin(self) -> None:
        self._headers, self._pieces = {}, []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, piece: bytes) -> None:
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        parser = self._parser
        status, is_last = parser.get_status_code(), not parser.should_keep_alive()
        body = b"".join(self._pieces)
        if not self._answered.done():  # the client has been stopped meanwhile
            self._answered.set_result(HttpAnswer(status, self._headers, body, is_last))


def request_bytes(url: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Write a POST request."""
    parts = urlsplit(url)
    lines = [f"POST {parts.path or '/'}{'?' if parts.query else ''}{parts.query} HTTP/1.1"]
    lines += [f"Host: {parts.netloc}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
