"""An application that fails, or that ends without a whole answer, ends its connection."""

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from tests.support.memory_transport import connect

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
START: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-length", b"4")],
}
PART: Message = {"type": "http.response.body", "body": b"ab", "more_body": True}
REST: Message = {"type": "http.response.body", "body": b"cd"}


async def written(messages: list[Message], error: Exception | None = None) -> tuple[bytes, bool]:
    """Have an application send messages, then raise; return what is sent, and if it is the end."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        if error is not None:
            raise error

    connection, transport = connect(app)
    connection.data_received(GET)
    async with asyncio.timeout(10):
        await asyncio.gather(*connection._server_state.tasks, return_exceptions=True)
    return bytes(transport.written), transport.is_closing()


async def test_head_and_body_leave_together() -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"
    assert await written([START, PART, REST]) == (answer + b"abcd", False)


@pytest.mark.parametrize("messages", [[], [START]], ids=["before", "after-the-start"])
@pytest.mark.parametrize("error", [None, ValueError("x")], ids=["returns", "raises"])
async def test_without_an_answer_the_client_gets_500(
    messages: list[Message], error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    sent, is_closed = await written(messages, error)
    assert sent.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert is_closed
    assert "has not answered a request" in caplog.text
    assert ("ValueError: x" in caplog.text) is (error is not None)


async def test_half_an_answer_ends_with_its_connection(caplog: pytest.LogCaptureFixture) -> None:
    sent, is_closed = await written([START, PART])
    assert sent.endswith(b"\r\n\r\nab")
    assert is_closed
    assert "or not to the end" in caplog.text


@pytest.mark.parametrize(
    "messages",
    [[PART], [START, START], [START, REST], [START, PART, REST, REST], [{"type": "other"}]],
    ids=["body-first", "two-starts", "too-short", "too-much", "unknown"],
)
async def test_messages_against_asgi_raise(
    messages: list[Message], caplog: pytest.LogCaptureFixture
) -> None:
    await written(messages)
    assert "RuntimeError" in caplog.text
