"""The limits of a connection, through raw sockets: heads, bodies, answers, many connections."""

import asyncio
import gc
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from service.server.http1.connection import Connection
from service.server.http1.connection_limits import LINGER_S
from tests.support.clock import on_uvloop
from tests.support.fakes import CAT, Gateway, running, until

GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /v1/segment HTTP/1.1\r\nHost: x\r\n"


class Client:
    """A client that sends and reads step by step."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> httpx.Response:
        """Read the next answer on this connection."""
        async with asyncio.timeout(10):
            top = await self.reader.readuntil(b"\r\n\r\n")
            status, *lines = top.decode().strip().split("\r\n")
            headers = httpx.Headers([tuple(line.split(": ", 1)) for line in lines])  # type: ignore[arg-type]  # pairs
            body = await self.reader.readexactly(int(headers["content-length"]))
        return httpx.Response(int(status.split()[1]), headers=headers, content=body)

    async def code(self) -> str:
        """Read the next answer, which has to be a complete problem, and return its code."""
        answer = await self.answer()
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["connection"] == "close"
        assert answer.status_code == answer.json()["status"]
        found: str = answer.json()["code"]
        return found

    async def closed(self) -> bytes:
        """Return the bytes until the gateway closes: none after an orderly close."""
        async with asyncio.timeout(10):
            return await self.reader.read()

    async def reset(self) -> None:
        """Wait until the gateway resets the connection, or closes it."""
        async with asyncio.timeout(10):
            try:
                while await self.reader.read(1 << 16):
                    pass
            except ConnectionError:
                pass


@asynccontextmanager
async def connected(gateway: Gateway, **options: Any) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, **options)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


def open_connections(gateway: Gateway) -> int:
    return len(gateway.server.server_state.connections)


@on_uvloop
async def test_a_head_that_arrives_too_slowly_gets_408_and_takes_no_permit() -> None:
    async with running(header_timeout_s=0.5) as gateway, connected(gateway) as client:
        await client.send(b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        for _ in range(1000):  # single bytes extend no time limit
            if client.reader._buffer or client.reader.at_eof():  # type: ignore[attr-defined]  # StreamReader's own
                break
            assert gateway.in_flight == 0
            await client.send(b"a")
            await asyncio.sleep(0.005)
        assert await client.code() == "read_timeout"
        assert await client.closed() == b""


@on_uvloop
async def test_each_head_of_a_connection_has_its_own_time() -> None:
    async with running(header_timeout_s=1.0) as gateway, connected(gateway) as client:
        for _ in range(3):
            await client.send(GET)
            assert (await client.answer()).status_code == 200
        await client.send(GET[:20])
        assert await client.code() == "read_timeout"


@on_uvloop
async def test_a_head_behind_another_request_has_no_more_time() -> None:
    async with running(header_timeout_s=0.5) as gateway, connected(gateway) as client:
        await client.send(GET + GET[:20])
        assert (await client.answer()).status_code == 200
        assert await client.code() == "read_timeout"


@on_uvloop
async def test_a_connection_without_a_request_is_closed_without_an_answer() -> None:
    async with running(header_timeout_s=0.1) as gateway, connected(gateway) as client:
        assert await client.closed() == b""


@on_uvloop
async def test_blank_lines_keep_no_connection_open() -> None:
    async with running(header_timeout_s=0.5) as gateway, connected(gateway) as client:
        await client.send(GET)
        assert (await client.answer()).status_code == 200
        await client.send(b"\r\n")
        assert await client.closed() == b""


@on_uvloop
async def test_an_idle_connection_is_kept_for_longer_than_a_head_may_take() -> None:
    async with running(header_timeout_s=0.4) as gateway, connected(gateway) as client:
        await client.send(GET)
        assert (await client.answer()).status_code == 200
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.8):
                await client.reader.read()
        await client.send(GET)
        assert (await client.answer()).status_code == 200


@pytest.mark.parametrize(
    "head",
    [
        GET[:-2] + b"X-Long: " + b"a" * 40_000 + b"\r\n\r\n",
        GET[:-2] + b"X-Many: a\r\n" * 4_000 + b"\r\n",
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n",
    ],
    ids=["long", "many", "path"],
)
@on_uvloop
async def test_a_head_that_is_too_large_is_refused(head: bytes) -> None:
    async with running() as gateway, connected(gateway) as client:
        await client.send(head)
        assert await client.code() == "headers_too_large"
        assert await client.closed() == b""


@pytest.mark.parametrize("piece", [b"a" * 8_192, b"\r\nX-More: a"], ids=["value", "headers"])
@on_uvloop
async def test_an_endless_head_is_refused_early(piece: bytes) -> None:
    async with running() as gateway, connected(gateway) as client:
        await client.send(GET[:-4] + b"\r\nX-Endless: ")
        sent = 0
        while not client.reader._buffer:  # type: ignore[attr-defined]  # StreamReader's own
            await client.send(piece)
            sent += len(piece)
            assert sent < 2_000_000
            await asyncio.sleep(0)
        assert await client.code() == "headers_too_large"


@on_uvloop
async def test_bytes_that_are_not_http_get_a_problem() -> None:
    async with running() as gateway, connected(gateway) as client:
        await client.send(b"\x16\x03\x01 this is a TLS handshake\r\n\r\n")
        assert await client.code() == "bad_http"
        assert await client.closed() == b""


@on_uvloop
async def test_an_answer_reaches_a_client_that_is_still_sending() -> None:
    async with running() as gateway, connected(gateway) as client:
        head = POST.replace(b" HTTP", b"?timeout_ms=100 HTTP") + b"Content-Length: 9000000\r\n\r\n"
        await client.send(head + b"slow")
        await until(lambda: client.reader._buffer)  # type: ignore[attr-defined]  # StreamReader's own
        await client.send(bytes(1_000_000))  # an immediate close would reset the connection
        assert await client.code() == "read_timeout"
        assert await client.closed() == b""
        assert gateway.in_flight == 0


@on_uvloop
async def test_a_body_that_no_route_reads_keeps_no_connection_open() -> None:
    async with running(header_timeout_s=0.5) as gateway, connected(gateway) as client:
        await client.send(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n")
        assert (await client.answer()).status_code == 404
        await client.send(b"still sending")
        assert await client.closed() == b""


@pytest.mark.parametrize("length", [90_000, 9_000_000], ids=["kept", "closing"])
@on_uvloop
async def test_a_client_that_sends_the_rest_slowly_is_not_reset(length: int) -> None:
    """As long as the rest arrives at the least rate of a body."""
    head = b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length
    async with (
        running(header_timeout_s=0.5, min_body_bytes_per_s=2_000) as gateway,
        connected(gateway) as client,
    ):
        await client.send(head)
        answer = await client.answer()
        assert answer.status_code == 404
        is_kept = answer.headers.get("connection") != "close"
        assert is_kept is (length == 90_000)
        for _ in range(30):  # twice as long as a silent client gets
            await client.send(bytes(3000))
            await asyncio.sleep(0.05 if is_kept else 0.05 + LINGER_S / 20)
        assert open_connections(gateway) == 1
        if is_kept:
            await client.send(GET)
            assert (await client.answer()).status_code == 200


@on_uvloop
async def test_pipelined_requests_are_answered_in_order() -> None:
    async with running() as gateway, connected(gateway) as client:
        photo = POST + b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(CAT) + CAT
        missing = b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"
        await client.send(photo + missing + GET + photo + GET * 50 + missing)
        statuses = [(await client.answer()).status_code for _ in range(55)]
        assert statuses == [200, 404, 200, 200, *[200] * 50, 404]
        await client.send(GET)
        assert (await client.answer()).status_code == 200


@on_uvloop
async def test_a_large_head_behind_a_request_is_read_to_its_end() -> None:
    """Although reading pauses in it until the first request is answered."""
    large = GET[:-2] + b"X-Large: " + b"a" * 20_000 + b"\r\n\r\n"
    async with running(header_timeout_s=3.0) as gateway, connected(gateway) as client:
        await client.send(GET + large[:17_000])
        assert (await client.answer()).status_code == 200
        await client.send(large[17_000:])
        assert (await client.answer()).status_code == 200


@on_uvloop
async def test_nonsense_behind_a_request_does_not_affect_its_answer() -> None:
    async with running() as gateway, connected(gateway) as client:
        await client.send(GET + b"nonsense\r\n\r\n" + GET)
        assert (await client.answer()).json() == {"status": "alive"}
        assert await client.code() == "bad_http"
        assert await client.closed() == b""


@on_uvloop
async def test_a_client_that_does_not_read_its_answer_is_disconnected() -> None:
    async with running(write_timeout_s=0.2) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.raw_mask(bytes(20_000_000))
        async with connected(gateway, limit=1) as client:
            await client.send(POST + b"Content-Length: %d\r\n\r\n" % len(CAT) + CAT)
            await until(lambda: open_connections(gateway) == 0)
            assert gateway.in_flight == 0
            await client.reset()


@on_uvloop
async def test_a_client_that_reads_slowly_gets_all_of_its_answer() -> None:
    async with running(write_timeout_s=1.0) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.raw_mask(bytes(12_000_000))
        async with connected(gateway, limit=1 << 16) as client:
            await client.send(POST + b"Content-Length: %d\r\n\r\n" % len(CAT) + CAT)
            top = await client.reader.readuntil(b"\r\n\r\n")
            assert b"content-length: 12000000" in top
            left = 12_000_000
            while left:  # takes several times the write timeout
                left -= len(await client.reader.readexactly(min(left, 500_000)))
                await asyncio.sleep(0.1)
            await client.send(GET)
            assert (await client.answer()).status_code == 200


@on_uvloop
async def test_answers_that_are_not_read_do_not_accumulate() -> None:
    """A client that sends and never reads is paused, then disconnected."""
    async with running(write_timeout_s=1.0) as gateway, connected(gateway, limit=1) as client:
        client.writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 20_000)
        await until(lambda: open_connections(gateway) == 1)
        (connection,) = gateway.server.server_state.connections
        most = 0
        while open_connections(gateway):
            most = max(most, connection.transport.get_write_buffer_size())
            await asyncio.sleep(0.01)
        assert 0 < most < 1_000_000


@on_uvloop
async def test_good_requests_are_answered_beside_two_hundred_idle_connections() -> None:
    async with running() as gateway:
        await gateway.ready()
        idle = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(200)]
        for _, writer in idle[::2]:
            writer.write(b"POST /v1/segment HTTP/1.1\r\nHost:")
        answers = await asyncio.gather(*(gateway.segment() for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        assert open_connections(gateway) > 200
        for _, writer in idle:
            writer.transport.abort()
        await until(lambda: open_connections(gateway) <= 20)


@on_uvloop
async def test_one_connection_too_many_gets_503_and_is_closed() -> None:
    async with running(max_connections=2) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.hangs
        photo = POST + b"Content-Length: %d\r\n\r\n" % len(CAT) + CAT
        async with connected(gateway) as first, connected(gateway) as second:
            for client in (first, second):
                await client.send(photo)
            await until(lambda: gateway.in_flight == 2)
            async with connected(gateway) as third:
                await third.send(GET)
                answer = await third.answer()
                assert answer.json()["code"] == "too_many_connections"
                assert answer.headers["retry-after"] == "1"
                assert await third.closed() == b""
            gateway.torchserve.released.set()
            for client in (first, second):
                assert (await client.answer()).status_code == 200
        await until(lambda: open_connections(gateway) == 0)
        async with connected(gateway) as client:
            await client.send(GET)
            assert (await client.answer()).status_code == 200


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"", ""),
        (GET, ""),
        (GET[:20], "read_timeout"),
        (POST + b"Content-Length: 5\r\n\r\n", "read_timeout"),
        (POST + b"Content-Length: 5\r\n\r\nabc", "read_timeout"),
    ],
    ids=["silent", "between-two-requests", "in-a-head", "no-body", "in-a-body"],
)
@on_uvloop
async def test_the_connection_that_is_silent_for_longest_is_evicted(sent: bytes, code: str) -> None:
    async with running(max_connections=3) as gateway, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(gateway)) for _ in range(3)]
        for client in clients:
            await client.send(sent)
            if sent == GET:
                assert (await client.answer()).status_code == 200
            await asyncio.sleep(0.02)  # in this order
        for silent in clients:  # none of which has timed out
            new = await stack.enter_async_context(connected(gateway))
            await new.send(GET)
            assert (await new.answer()).status_code == 200
            if code:
                assert await silent.code() == code
            assert await silent.closed() == b""


@asynccontextmanager
async def not_reading(gateway: Gateway, sent: bytes) -> AsyncIterator[Client]:
    """Connect a client that takes none of its answers, until the gateway waits for it."""
    known = set(gateway.server.server_state.connections)
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.setblocking(False)
    await asyncio.get_running_loop().sock_connect(narrow, ("127.0.0.1", gateway.port))
    async with connected_by(narrow) as client:
        await client.send(sent)
        await until(lambda: bool(stalled(gateway) - known))
        yield client


@asynccontextmanager
async def connected_by(connection: socket.socket) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection(sock=connection, limit=1)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


def stalled(gateway: Gateway) -> set[Any]:
    """Return the connections to which writing is paused."""
    return {one for one in gateway.server.server_state.connections if one.flow.write_paused}  # type: ignore[union-attr]  # ours


LARGE = b"GET /static-offline-docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("more", [b"", GET], ids=["silent", "sends-on"])
@on_uvloop
async def test_a_client_that_does_not_take_its_answers_is_evicted(more: bytes) -> None:
    async with running(max_connections=2) as gateway, AsyncExitStack() as stack:
        await gateway.ready()
        for _ in range(2):
            client = await stack.enter_async_context(not_reading(gateway, LARGE * 20))
            await client.send(more)
        for _ in range(2):
            new = await stack.enter_async_context(connected(gateway))
            await new.send(GET)
            assert (await new.answer()).status_code == 200
        await until(lambda: not stalled(gateway))


@on_uvloop
async def test_sending_without_reading_is_no_progress() -> None:
    async with running(max_connections=2) as gateway, not_reading(gateway, LARGE * 20) as unread:
        await gateway.ready()
        async with connected(gateway) as idle, connected(gateway) as new:
            await idle.send(GET)
            assert (await idle.answer()).status_code == 200
            await unread.send(GET)
            await new.send(GET)
            assert (await new.answer()).status_code == 200
            await until(lambda: not stalled(gateway))
            await idle.send(GET)
            assert (await idle.answer()).status_code == 200


@on_uvloop
async def test_a_client_that_sends_again_is_not_evicted_first() -> None:
    async with (
        running(max_connections=2) as gateway,
        connected(gateway) as older,
        connected(gateway) as newer,
    ):
        for client in (newer, older):
            await client.send(GET)
            assert (await client.answer()).status_code == 200
        async with connected(gateway) as new:
            await new.send(GET)
            assert (await new.answer()).status_code == 200
            assert await newer.closed() == b""
            await older.send(GET)
            assert (await older.answer()).status_code == 200


@on_uvloop
async def test_a_flood_of_connections_is_closed_at_twice_the_limit() -> None:
    async with running(max_connections=5) as gateway:
        flood = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(50)]
        try:
            for client in flood:
                client.setblocking(False)
            most = 0

            async def refused() -> bool:
                nonlocal most
                most = max(most, open_connections(gateway))
                return sum(map(is_over, flood)) == 45

            await until(refused)
            assert most <= 11
        finally:
            for client in flood:
                client.close()


def is_over(client: socket.socket) -> bool:
    """Return whether the gateway has answered, or has reset the connection."""
    try:
        return len(client.recv(1 << 16, socket.MSG_PEEK)) >= 0
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@on_uvloop
async def test_a_refusal_is_logged_and_counted_like_any_answer() -> None:
    async with running(header_timeout_s=0.4) as gateway, connected(gateway) as client:
        await client.send(b"GET")
        answer = await client.answer()
        request_id = answer.headers["x-request-id"]
        assert (
            gateway.value(
                "fcnserve_requests_total", route="unmatched", status="408", code="read_timeout"
            )
            == 1
        )
        (line,) = [line for line in gateway.logs if line.get("request_id") == request_id]
        assert (line["status"], line["code"], line["method"]) == (408, "read_timeout", "-")


def in_memory(gateway: Gateway) -> list[Connection]:
    """Return this gateway's connections that are in memory, open or not."""
    gc.collect()
    state = gateway.server.server_state
    return [
        one for one in gc.get_objects() if type(one) is Connection and one._server_state is state
    ]


@on_uvloop
async def test_closed_connections_leave_nothing_in_memory() -> None:
    gc.freeze()  # what other tests left need not be searched
    async with running(header_timeout_s=0.2, write_timeout_s=0.2) as gateway:
        kinds = [GET, GET[:10], b"nonsense\r\n\r\n", b"", POST + b"Content-Length: 5\r\n\r\nab"]
        for _ in range(10):
            clients = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in kinds * 4]
            for (_, writer), data in zip(clients, kinds * 4, strict=True):
                writer.write(data)
            await until(lambda: in_memory(gateway))  # as long as they are open
            for _, writer in clients[::2]:
                writer.transport.abort()
            for _, writer in clients[1::2]:
                await writer.drain()
                writer.close()
        await until(lambda: open_connections(gateway) == 0)
        await until(lambda: not gateway.server.server_state.tasks)
        await until(lambda: not in_memory(gateway))
        assert json.loads((await gateway.http.get("/livez")).content) == {"status": "alive"}
