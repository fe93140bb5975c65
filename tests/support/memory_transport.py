"""A connection of the gateway's server without a socket: an ASGI application behind it, and a
transport that keeps what is written in memory.
"""

import asyncio
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from service.server.http1.asgi_scope import GatewayState
from service.server.http1.connection import Connection
from service.server.http1.connection_limits import ConnectionLimits
from service.server.http1.open_connections import OpenConnections
from service.server.server import uvicorn_options
from service.settings import Settings


class MemoryTransport(asyncio.Transport):
    """Keeps what is written; a client that reads at once."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.is_paused = False
        self.has_sent_eof = False
        self._connection: Connection | None = None

    def attach(self, connection: Connection) -> None:
        self._connection = connection
        connection.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def writelines(self, list_of_data: Any) -> None:
        self.written += b"".join(list_of_data)

    def write_eof(self) -> None:
        self.has_sent_eof = True

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def is_closing(self) -> bool:
        return self._connection is None

    def close(self) -> None:
        self.lose(None)

    def abort(self) -> None:
        self.lose(None)

    def lose(self, error: Exception | None) -> None:
        """End the connection, from either side."""
        connection, self._connection = self._connection, None
        if connection is not None:
            asyncio.get_running_loop().call_soon(connection.connection_lost, error)


def connect(app: ASGIApp, **settings: Any) -> tuple[Connection, MemoryTransport]:
    """Connect a client to an application; needs a running event loop."""
    chosen = Settings(**settings)
    config = uvicorn.Config(app, **uvicorn_options(chosen), lifespan="off")
    config.load()
    limits = ConnectionLimits.of(chosen)
    connection = Connection(
        limits, OpenConnections(limits.max_connections), config, GatewayState(), {}
    )
    transport = MemoryTransport()
    transport.attach(connection)
    return connection, transport
