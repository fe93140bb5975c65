"""A load client's connection: kept, closed by the server, or lost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from loadtest.traffic.connection import Connection, ConnectionLostError, request_bytes

KEPT = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 4\r\n\r\nmask"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nma\r\n2\r\nsk\r\n0\r\n\r\n"
LAST = b"HTTP/1.1 429 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
CUT = KEPT[:-2]


@asynccontextmanager
async def connection_to(answers: Sequence[bytes]) -> AsyncIterator[Connection]:
    """Connect to a server that sends one answer a request, then closes the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\nphoto")
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = await Connection.to(f"http://127.0.0.1:{port}/v1/segment")
    yield connection
    connection.close()
    server.close()
    await server.wait_closed()


REQUEST = request_bytes("http://host:80/path?output=mask", {"Content-Type": "image/jpeg"}, b"photo")


def test_a_request_has_target_host_headers_and_length() -> None:
    head, _, body = REQUEST.partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"POST /path?output=mask HTTP/1.1",
        b"Host: host:80",
        b"Content-Length: 5",
        b"Content-Type: image/jpeg",
    ]
    assert body == b"photo"


async def test_one_connection_gets_one_answer_after_the_other() -> None:
    async with connection_to([KEPT, CHUNKED]) as connection:
        first = await connection.send(REQUEST)
        second = await connection.send(REQUEST)
    assert (first.status, first.body, first.is_last) == (200, b"mask", False)
    assert first.headers["content-type"] == "image/png"
    assert (second.body, second.headers) == (b"mask", {"transfer-encoding": "chunked"})


async def test_a_socket_on_this_machine_is_connected_to_by_its_path(tmp_path: Path) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(KEPT)
        writer.close()

    server = await asyncio.start_unix_server(serve, tmp_path / "socket")
    connection = await Connection.to("http://localhost:0/path", str(tmp_path / "socket"))
    assert (await connection.send(REQUEST)).body == b"mask"
    server.close()
    await server.wait_closed()


async def test_an_answer_says_that_it_is_the_last() -> None:
    async with connection_to([LAST]) as connection:
        answer = await connection.send(REQUEST)
    assert (answer.status, answer.is_last) == (429, True)


async def test_an_answer_that_is_cut_short_is_an_error() -> None:
    async with connection_to([CUT]) as connection:
        with pytest.raises(ConnectionLostError):
            await connection.send(REQUEST)
        with pytest.raises(ConnectionLostError):  # and so is sending on a closed connection
            await connection.send(REQUEST)
