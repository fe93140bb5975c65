"""An upstream that answers as a test says, on a real socket, and what it may answer.

A handler gets each connection as asyncio's streams, and closes it at its end.
"""

import asyncio
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

Handler = Callable[[StreamReader, StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(handler: Handler, socket_path: Path | None = None) -> AsyncIterator[str]:
    """Run a server of this handler; yields its address. At the end, all handlers have ended: the
    block closes its connections.
    """
    tasks: list[asyncio.Task[Any]] = []

    async def handle(reader: StreamReader, writer: StreamWriter) -> None:
        tasks.append(cast(asyncio.Task[Any], asyncio.current_task()))
        # uvloop raises RuntimeError for writing to a connection that the client has closed
        with suppress(OSError, IncompleteReadError, RuntimeError):
            await handler(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    if socket_path:
        server = await asyncio.start_unix_server(handle, socket_path)
        address = f"unix:{socket_path}"
    else:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        try:
            yield address
        finally:
            server.close()
            await asyncio.gather(*tasks)


async def read_request(reader: StreamReader) -> tuple[bytes, bytes]:
    """Return the head and the body of the next request."""
    head = await reader.readuntil(b"\r\n\r\n")
    (length,) = (
        line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
    )
    return head, await reader.readexactly(int(length.partition(b":")[2]))


def answer_of(body: bytes, status: int = 200, **headers: str) -> bytes:
    """Write an HTTP answer."""
    lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join((*lines, "", "")).encode() + body
