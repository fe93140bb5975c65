"""However bytes are split into packets, the same requests arrive and the same answers leave."""

import asyncio
import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from handlers.shared.errors import ProblemError
from service.context import context_of
from tests.support.http_abuse import CORPUS
from tests.support.memory_transport import MemoryTransport, connect

LARGE = bytes(range(256)) * 300
REQUESTS = [
    b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Request-ID: 1\r\nX-Twice: 1\r\nX-Twice:  2 \r\n\r\n",
    b"\r\n\r\nHEAD /%41 HTTP/1.1\r\nhost: x:80\r\n\r\n",
    b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nabcde",
    b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(LARGE) + LARGE,
    b"POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;a=b\r\nabc\r\n10\r\n" + b"d" * 16 + b"\r\n0\r\nTrailer: 1\r\n\r\n",
    b"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nGET ",
    b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    *(b"".join(abuse.packets) for abuse in CORPUS if len(b"".join(abuse.packets)) < 100_000),
]


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a digest of the request, or with the code of the problem that ends it."""
    seen = repr([scope[name] for name in ("method", "path", "query_string", "headers")]).encode()
    try:
        if refusal := context_of(scope).refusal:
            raise refusal
        more = scope["path"] != "/unread"
        while more:
            message = await receive()
            seen += message.get("body", b"")
            more = message.get("more_body", False)
    except ProblemError as problem:
        seen = problem.code.encode()
    body = hashlib.sha256(seen).hexdigest().encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def answers(packets: list[bytes]) -> tuple[bytes, bool, bool]:
    """Send packets; return all answers, and whether and how the connection ends."""
    connection, transport = connect(echo)
    for packet in packets:
        if transport.is_closing():
            break
        connection.data_received(packet)
        await settled(transport)
    outcome = bytes(transport.written), transport.is_closing(), transport.has_sent_eof
    transport.lose(None)
    await settled(transport)
    return outcome


async def settled(transport: MemoryTransport) -> None:
    """Let all run that waits for nothing, until nothing is written any more: a packet may hold
    hundreds of requests.
    """
    written = -1
    while written < len(transport.written):
        written = len(transport.written)
        for _ in range(40):
            await asyncio.sleep(0)


@st.composite
def splits(draw: st.DrawFn) -> list[bytes]:
    data = b"".join(draw(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=4)))
    ends = sorted(draw(st.sets(st.integers(1, len(data)), max_size=12)) | {len(data)})
    return [data[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


@settings(max_examples=150, deadline=None)
@given(splits())
def test_any_split_gives_the_same_answers(packets: list[bytes]) -> None:
    split = asyncio.run(answers(packets))
    assert split == asyncio.run(answers([b"".join(packets)]))


def test_single_bytes_give_the_same_answers() -> None:
    data = b"".join(request for request in REQUESTS[:7] if len(request) < 1000)
    split = asyncio.run(answers([bytes([byte]) for byte in data]))
    assert split == asyncio.run(answers([data]))
    assert split[0].count(b"HTTP/1.1 200 OK") == 6
