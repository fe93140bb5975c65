"""A TCP proxy between gateway and TorchServe, whose connections a test can break."""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Self

from tests.support.ports import free_port

CHUNK_BYTES = 65536
CALL_S = 10.0
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing resets the connection


class TcpProxy:
    """Forwards from `port` to `target_port`, in a thread of its own."""

    def __init__(self) -> None:
        self.port = free_port()
        self.target_port = free_port()
        self._drops_data = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.disconnect()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def connect(self) -> None:
        """Accept connections, and forward their data."""
        self._drops_data = False
        self._call(self._connect())

    def drop_data(self) -> None:
        """Accept connections and their data, and forward nothing."""
        self._drops_data = True

    def disconnect(self) -> None:
        """Reset every connection and refuse new ones."""
        self._call(self._disconnect())

    def _call(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(CALL_S)

    async def _connect(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _disconnect(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()
        ending = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*ending, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()  # no listener: refuse the connection too
            return
        self._writers |= {writer, target[1]}
        await asyncio.gather(self._forward(reader, target[1]), self._forward(target[0], writer))
        self._writers -= {writer, target[1]}

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if not self._drops_data:
                    writer.write(data)
                    await writer.drain()
        writer.close()
