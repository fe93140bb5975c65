"""The application learns that its client has disconnected: by a callback, and by ASGI's message."""

import asyncio

import pytest
from starlette.types import Receive, Scope, Send

from service.context import context_of
from tests.support.memory_transport import connect

POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"


class App:
    """Reads its request, and answers when it is released."""

    def __init__(self) -> None:
        self.has_read, self.released = asyncio.Event(), asyncio.Event()
        self.called = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = context_of(scope)
        context.on_disconnect = self.called_back
        self.last = await receive()
        self.has_read.set()
        await self.released.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
        self.is_disconnected = context.is_disconnected
        self.last = await receive()

    def called_back(self) -> None:
        self.called += 1


async def ended(tasks: set[asyncio.Task[None]]) -> None:
    async with asyncio.timeout(10):
        await asyncio.gather(*tasks)


@pytest.mark.parametrize("error", [None, ConnectionResetError()], ids=["closed", "reset"])
@pytest.mark.parametrize("body", [b"", b"abc"], ids=["head-only", "whole"])
async def test_a_disconnect_before_the_answer_is_reported_once(
    body: bytes, error: Exception | None
) -> None:
    app = App()
    connection, transport = connect(app)
    connection.data_received(POST + body)
    await asyncio.sleep(0)
    if body:
        await app.has_read.wait()
    transport.lose(error)
    await app.has_read.wait()
    app.released.set()
    await ended(connection._server_state.tasks)
    assert app.called == 1
    assert app.is_disconnected
    assert app.last == {"type": "http.disconnect"}
    assert transport.written == b""


async def test_a_disconnect_after_the_answer_is_not_reported() -> None:
    app = App()
    connection, transport = connect(app)
    app.released.set()
    connection.data_received(POST + b"abc")
    await ended(connection._server_state.tasks)
    assert transport.written.startswith(b"HTTP/1.1 204 ")
    transport.lose(None)
    await asyncio.sleep(0)
    assert app.called == 0
    assert not app.is_disconnected
