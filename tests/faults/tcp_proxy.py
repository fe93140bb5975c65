"""The cable between gateway and TorchServe: TCP, passed on until somebody pulls it."""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from tests.integration.server import free_port

CHUNK_BYTES = 65536
CALL_S = 10.0
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: what is closed is reset


class Cable:
    """Listens on `port`, in a thread of its own; leads to `target_port`."""

    def __init__(self) -> None:
        self.port = free_port()
        self.target_port = free_port()
        self._swallows = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cable")

    def __enter__(self) -> Self:
        self._thread.start()
        self.plug()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.pull()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def plug(self) -> None:
        """Take connections, and pass on what they bring."""
        self._swallows = False
        self._call(self._plug())

    def swallow(self) -> None:
        """Take connections and all that they bring, and pass nothing on."""
        self._swallows = True

    def pull(self) -> None:
        """Reset every connection and refuse new ones."""
        self._call(self._pull())

    def _call(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(CALL_S)

    async def _plug(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _pull(self) -> None:
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
            writer.transport.abort()  # nobody there: as good as refused
            return
        self._writers |= {writer, target[1]}
        await asyncio.gather(self._pass_on(reader, target[1]), self._pass_on(target[0], writer))
        self._writers -= {writer, target[1]}

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if not self._swallows:
                    writer.write(data)
                    await writer.drain()
        writer.close()
