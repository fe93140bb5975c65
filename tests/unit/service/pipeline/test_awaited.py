"""A disconnect, or the deadline, ends the work for that client, and nothing else."""

import asyncio
import math

import pytest
from starlette.requests import ClientDisconnect

from service.context import RequestContext
from service.deadline import Deadline
from service.errors import DeadlineError
from service.pipeline.awaited import WhileAwaited
from tests.support.fakes import CAT, running, until

NEVER = Deadline(math.inf, "")


@pytest.mark.parametrize("padding", [0, 1_000_000], ids=["one-read", "many-reads"])
async def test_a_disconnected_client_gives_its_permit_back(padding: int) -> None:
    photo = CAT + bytes(padding)
    async with running(max_in_flight=1) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.hangs
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        head = f"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Length: {len(photo)}\r\n\r\n"
        writer.write(head.encode() + photo)
        await until(lambda: gateway.in_flight == 1)
        writer.close()
        await until(lambda: gateway.in_flight == 0)
        gateway.torchserve.released.set()
        gateway.torchserve.fault = None
        assert (await gateway.segment()).status_code == 200


def context() -> RequestContext:
    return RequestContext("one", 0.0)


async def test_a_disconnect_ends_the_work_for_the_client() -> None:
    request = context()

    async def serve() -> None:
        with WhileAwaited(request, NEVER):
            asyncio.get_running_loop().call_soon(request.disconnect)
            await asyncio.sleep(10)

    with pytest.raises(ClientDisconnect):
        await serve()


async def test_work_for_a_client_that_has_disconnected_does_not_begin() -> None:
    request = context()
    request.disconnect()
    with pytest.raises(ClientDisconnect):
        WhileAwaited(request, NEVER).__enter__()


async def test_a_disconnect_after_the_work_ends_nothing() -> None:
    request = context()
    with WhileAwaited(request, NEVER):
        await asyncio.sleep(0)
    request.disconnect()
    await asyncio.sleep(0)


async def test_work_ends_at_the_deadline() -> None:
    async def serve() -> None:
        with WhileAwaited(context(), Deadline(0.0, "at once")):
            await asyncio.sleep(10)

    with pytest.raises(DeadlineError, match="no mask at once"):
        await serve()
