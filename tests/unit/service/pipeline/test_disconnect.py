"""A disconnect ends the work for that client, and nothing else."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from service.pipeline.disconnect import while_connected
from tests.support.fakes import CAT, running, until


async def test_a_disconnected_client_gives_its_permit_back() -> None:
    async with running(max_in_flight=1) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.hangs
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        head = f"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Length: {len(CAT)}\r\n\r\n"
        writer.write(head.encode() + CAT)
        await until(lambda: gateway.in_flight == 1)
        writer.close()
        gateway.torchserve.released.set()
        await until(lambda: gateway.in_flight == 0)
        gateway.torchserve.fault = None
        assert (await gateway.segment()).status_code == 200


async def disconnect_after(disconnected: asyncio.Event) -> AsyncIterator[Message]:
    """The messages of an ASGI server: the rest of a body, then the disconnect."""
    yield {"type": "http.request", "body": b""}
    await disconnected.wait()
    yield {"type": "http.disconnect"}


def request_until(disconnected: asyncio.Event) -> Request:
    return Request({"type": "http"}, disconnect_after(disconnected).__anext__)


async def test_a_disconnect_ends_the_work_for_the_client() -> None:
    disconnected = asyncio.Event()

    async def serve() -> None:
        async with while_connected(request_until(disconnected)):
            disconnected.set()
            await asyncio.sleep(10)

    with pytest.raises(ClientDisconnect):
        await serve()


async def test_a_disconnect_after_the_work_ends_nothing() -> None:
    disconnected = asyncio.Event()
    async with while_connected(request_until(disconnected)):
        await asyncio.sleep(0)
    disconnected.set()
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_task_that_is_cancelled_elsewhere_too_stays_cancelled() -> None:
    disconnected = asyncio.Event()

    async def serve() -> None:
        async with while_connected(request_until(disconnected)):
            await asyncio.Event().wait()

    task = asyncio.create_task(serve())
    await asyncio.sleep(0)
    disconnected.set()
    for _ in range(9):  # until it has been cancelled once, and before it has ended
        if not task.cancelling():
            await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_deadline_around_a_connection_is_still_a_deadline() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), while_connected(request_until(asyncio.Event())):
            await asyncio.sleep(10)
