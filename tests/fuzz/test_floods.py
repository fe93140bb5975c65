"""Floods of connections against a real gateway process delay another client, and no more."""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fuzz.attacked_gateway import KEY, TIMEOUT_S, attacked, check
from tests.support.fakes import until
from tests.support.http_abuse import (
    CHUNKED,
    GET,
    HOST,
    LIVEZ,
    NOWHERE,
    POST,
)

FLOOD_BYTES = 40_000_000

FLOOD_S = 10.0


@dataclass(frozen=True)
class Flood:
    """What each of many connections sends until the gateway closes it."""

    name: str
    begin: bytes
    more: bytes
    connections: int = 20

    def __str__(self) -> str:
        return self.name


KEYED = b"X-API-Key: " + KEY.encode() + b"\r\n"

BATCH = b"POST /v1/segment/batch HTTP/1.1\r\n" + HOST

FORM = b"Content-Type: multipart/form-data; boundary=b\r\n"

TRAILER = b"A: " + b"a" * 1000 + b"\r\n"

FLOODS = [
    Flood("trailers-of-livez", LIVEZ + HOST + CHUNKED + b"0\r\n", TRAILER),
    Flood("trailers-without-a-key", POST + CHUNKED + b"0\r\n", TRAILER),
    Flood("trailers-with-a-key", POST + KEYED + CHUNKED + b"0\r\n", TRAILER),
    Flood("trailers-of-nowhere", NOWHERE + CHUNKED + b"0\r\n", TRAILER),
    Flood("extensions", POST + KEYED + CHUNKED, b"1;" + b"a" * 500 + b"\r\na\r\n"),
    Flood("tiny-chunks", POST + KEYED + CHUNKED, b"1\r\na\r\n"),
    Flood("pipelined", b"", GET),
    Flood("pipelined-openapi", b"", GET.replace(b"/livez", b"/openapi.json")),
    Flood("pipelined-nowhere", b"", NOWHERE + b"\r\n"),
    Flood("a-head", LIVEZ + HOST, b"A: b\r\n"),
    Flood("blank-lines", b"", b"\r\n"),
    Flood("behind-a-refusal", b"nonsense\r\n\r\n", b"a" * 1000),
    Flood("behind-401", POST + b"Content-Length: 900000000\r\n\r\n", b"a" * 1000),
    Flood("behind-401-in-chunks", POST + CHUNKED, b"3e8\r\n" + b"a" * 1000 + b"\r\n"),
    Flood("behind-413", POST + KEYED + b"Content-Length: 900000000\r\n\r\n", b"a" * 1000),
    Flood("behind-415", POST + KEYED + b"Content-Type: a/b\r\n" + CHUNKED, b"1\r\na\r\n"),
    Flood("silent", b"", b"", 2000),
    Flood("half-heads", GET[:20], b"", 2000),
    Flood("kept", GET, b"", 2000),
    Flood("five-bytes", POST + KEYED + b"Content-Length: 5\r\n\r\n", b"", 1500),
    Flood("100-mb", BATCH + KEYED + FORM + b"Content-Length: 99000000\r\n\r\n", b"", 200),
]


@pytest.mark.parametrize("flood", FLOODS, ids=str)
async def test_a_flood_delays_another_client_and_no_more(
    tmp_path: Path, figures: list[str], flood: Flood
) -> None:
    async with attacked(tmp_path, has_keys=True) as gateway:
        sockets = [connect(gateway.port) for _ in range(flood.connections)]
        try:
            await send_flood(sockets, flood)
            done = gateway.answers.total()
            await until(lambda: gateway.answers.total() >= done + 5, within_s=TIMEOUT_S)
        finally:
            for client in sockets:
                client.close()
        check(gateway, figures, f"flood of {flood}")


def connect(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port))
    client.setblocking(False)
    return client


async def send_flood(sockets: Sequence[socket.socket], flood: Flood) -> None:
    """Send what each socket accepts, in turns; read nothing."""
    piece = flood.more * (100_000 // len(flood.more)) if flood.more else b""
    left = dict.fromkeys(sockets, flood.begin + piece)
    sent, deadline = 0, asyncio.get_running_loop().time() + FLOOD_S
    while left and sent < FLOOD_BYTES and asyncio.get_running_loop().time() < deadline:
        for client, data in list(left.items()):
            try:
                took = client.send(data)
            except BlockingIOError:
                continue
            except OSError:  # the gateway has closed
                took = 0
            sent += took
            left[client] = data[took:] or piece
            if not took:
                del left[client]
        await asyncio.sleep(0.01)
