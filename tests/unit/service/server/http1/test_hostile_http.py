"""Hostile HTTP is refused at once, with a reason, and never parsed as another request."""

import asyncio

import pytest
import uvloop

from service.server.http1.connection import Connection
from tests.support.clock import on_uvloop
from tests.support.fakes import CAT, Gateway, running
from tests.support.http_abuse import CHUNKED, CORPUS, GET, H2C, POST, Abuse, accepted, exchange
from tests.unit.service.server.http1.test_connections import connected


@pytest.fixture(scope="module")
def found() -> dict[str, tuple[tuple[int, ...], bool, bytes]]:
    """Send all of the corpus to one gateway; return the answers by name."""

    async def send_all() -> dict[str, tuple[tuple[int, ...], bool, bytes]]:
        async with running(timeout_ms=60_000, max_timeout_ms=60_000) as gateway:
            await gateway.ready()
            talks = {abuse.name: await exchange(gateway.port, abuse) for abuse in CORPUS}
            assert gateway.in_flight == 0
            return {name: (one.statuses, one.closed, one.received) for name, one in talks.items()}

    return uvloop.run(send_all())


@pytest.mark.parametrize("abuse", CORPUS, ids=str)
def test_odd_http_is_answered_once_and_at_once(
    found: dict[str, tuple[tuple[int, ...], bool, bytes]], abuse: Abuse
) -> None:
    statuses, closed, received = found[abuse.name]
    assert statuses == abuse.statuses + (200,) * abuse.keeps_open
    assert closed is not abuse.keeps_open
    assert b"smuggled" not in received


def test_names_in_the_corpus_are_unique() -> None:
    assert len({abuse.name for abuse in CORPUS}) == len(CORPUS)


@pytest.mark.parametrize("at_once", [True, False], ids=["one-packet", "two-packets"])
@on_uvloop
async def test_a_photo_with_an_upgrade_to_http_2_gets_its_mask(at_once: bool) -> None:
    """As curl's `--http2` and Java's client send it."""
    head = POST + H2C + b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(CAT)
    packets = (head + CAT,) if at_once else (head, CAT)
    async with running() as gateway:
        await gateway.ready()
        found = await exchange(gateway.port, accepted("photo", *packets, statuses=(200,)))
        assert found.statuses == (200, 200)
        assert [call.body for call in gateway.torchserve.photos] == [CAT]


@pytest.mark.parametrize("target", ["/livez/", "/v1/models/", "/docs/", "/v1/segment/"])
async def test_no_answer_redirects_to_the_host_of_the_request(target: str) -> None:
    async with running() as gateway:
        answer = await gateway.http.get(target, headers={"Host": "elsewhere.example"})
        assert answer.status_code == 404
        assert target.rstrip("/") in answer.json()["detail"]


def held_bytes(gateway: Gateway) -> int:
    """Return the bytes of all connections that are not parsed, or not read by a route."""
    held = 0
    for connection in gateway.server.server_state.connections:
        assert isinstance(connection, Connection)
        held += connection._requests.pending_bytes
        held += len(connection._cycle.body) if connection._cycle else 0
    return held


@pytest.mark.parametrize(
    ("name", "begin", "more"),
    [
        ("trailers", POST + CHUNKED + b"0\r\n", b"A: " + b"a" * 1000 + b"\r\n"),
        ("pipelined", b"", GET),
        ("behind-a-refusal", b"nonsense\r\n\r\n", GET),
        ("behind-404", b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 90000000\r\n\r\n", b"a"),
        ("behind-404-in-chunks", b"POST /x HTTP/1.1\r\nHost: x\r\n" + CHUNKED, b"1\r\na\r\n"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@on_uvloop
async def test_a_connection_holds_few_bytes_whatever_it_receives(
    name: str, begin: bytes, more: bytes
) -> None:
    """At most one read of the event loop, and a few requests."""
    async with running(write_timeout_s=1.0) as gateway, connected(gateway, limit=1) as client:
        most = 0
        client.writer.write(begin + more * (3_000_000 // len(more)))
        for _ in range(300):
            most = max(most, held_bytes(gateway))
            if not gateway.server.server_state.connections:
                break
            client.writer.write(more * (100_000 // len(more)))
            client.writer.transport.set_write_buffer_limits(high=1 << 30)  # unsent bytes wait here
            await asyncio.sleep(0.001)
        assert most < 400_000
