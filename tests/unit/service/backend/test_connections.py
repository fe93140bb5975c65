"""Kept connections to TorchServe, on real sockets and on uvloop, as the gateway has them."""

import asyncio
import random
import socket
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import uvloop

from service.backend.connection import PIECE_BYTES
from service.backend.connections import Connections
from service.backend.upstream_answer import UpstreamAnswer
from service.errors import ConnectionBrokenError, NotReadyError, WorkerSilentError
from service.inference_address import InferenceAddress
from tests.support.fakes import until
from tests.support.ports import free_port
from tests.support.upstream import Handler, answer_of, listening, read_request

MAX_BYTES = 100_000
LARGE = bytes(range(256)) * 80_000  # 20 MB
HIGH_WATER_BYTES = 64 * 1024  # of the transports


def on_uvloop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on uvloop, as `fcnserve gateway` does."""

    @wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        uvloop.run(test(*arguments, **named))

    return run


@asynccontextmanager
async def connected(
    handler: Handler, socket_path: Path | None = None, **limits: float
) -> AsyncIterator[Connections]:
    """Serve with this handler; yields connections to it."""
    async with listening(handler, socket_path) as address:
        connections = Connections(InferenceAddress.parse(address), MAX_BYTES, **limits)
        try:
            yield connections
        finally:
            await connections.close()


async def post(connections: Connections, *body: bytes, timeout_s: float = 10) -> UpstreamAnswer:
    return await connections.post("/predictions/m", [(b"X-Some", b"words")], body, timeout_s)


async def echo(reader: StreamReader, writer: StreamWriter) -> None:
    """Answer each request with its own body."""
    while True:
        _, body = await read_request(reader)
        writer.write(answer_of(body))


@pytest.mark.parametrize("is_unix", [False, True], ids=["tcp", "unix"])
@on_uvloop
async def test_a_request_arrives_as_it_was_sent(is_unix: bool, tmp_path: Path) -> None:
    received: list[tuple[bytes, bytes]] = []

    async def handler(reader: StreamReader, writer: StreamWriter) -> None:
        received.append(await read_request(reader))
        writer.write(answer_of(b"mask", 507, X_Report="{}"))

    async with connected(handler, tmp_path / "socket" if is_unix else None) as connections:
        body = (b"pho", memoryview(b"to"), b"")
        answer = await connections.post("/predictions/m", [(b"X-A", b"1")], body, 10)
    assert answer == (507, {b"content-length": b"4", b"x-report": b"{}"}, b"mask")
    ((head, photo),) = received
    line, host, *headers = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert line == b"POST /predictions/m HTTP/1.1"
    assert host == b"Host: localhost" if is_unix else host.startswith(b"Host: 127.0.0.1:")
    assert headers == [b"Content-Length: 5", b"X-A: 1"]
    assert photo == b"photo"


@on_uvloop
async def test_the_connection_that_was_used_last_is_used_next() -> None:
    requests: Counter[int] = Counter()

    async def handler(reader: StreamReader, writer: StreamWriter) -> None:
        while True:
            _, body = await read_request(reader)
            requests[id(writer)] += 1
            if body == b"both":
                await until(lambda: sum(requests.values()) >= 2)
            writer.write(answer_of(body))

    async with connected(handler) as connections:
        await asyncio.gather(post(connections, b"both"), post(connections, b"both"))
        for _ in range(5):
            await post(connections, b"one")
        assert len(connections) == 2
        assert sorted(requests.values()) == [1, 6]


@on_uvloop
async def test_idle_connections_are_closed() -> None:
    async with connected(echo, max_idle_s=0.05) as connections:
        await asyncio.gather(post(connections, b"1"), post(connections, b"2"))
        await until(lambda: not len(connections))
        assert (await post(connections, b"3")).body == b"3"
        await until(lambda: not len(connections))


@on_uvloop
async def test_a_request_on_a_kept_connection_that_was_reset_is_repeated() -> None:
    bodies: list[bytes] = []

    async def resets(reader: StreamReader, writer: StreamWriter) -> None:
        for is_answered in (True, False):
            _, body = await read_request(reader)
            bodies.append(body)
            if is_answered:
                writer.write(answer_of(body))
        no_linger = b"\x01\0\0\0\0\0\0\0"  # as TorchServe has it: closing resets
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)

    async with connected(resets) as connections:
        assert (await post(connections, b"1")).body == b"1"
        assert (await post(connections, b"2")).body == b"2"
    assert bodies == [b"1", b"2", b"2"]


@on_uvloop
async def test_a_kept_connection_that_was_closed_meanwhile_is_not_used() -> None:
    async def closes(reader: StreamReader, writer: StreamWriter) -> None:
        _, body = await read_request(reader)
        writer.write(answer_of(body))

    async with connected(closes) as connections:
        await post(connections, b"1")
        await until(lambda: not len(connections))
        assert (await post(connections, b"2")).body == b"2"


@on_uvloop
async def test_a_large_body_to_a_slow_reader_does_not_pile_up() -> None:
    may_read = asyncio.Event()
    received: list[bytes] = []

    async def reads_late(reader: StreamReader, writer: StreamWriter) -> None:
        await may_read.wait()
        _, body = await read_request(reader)
        received.append(body)
        writer.write(answer_of(b"mask"))
        await reader.read()  # until the connection is closed

    async with connected(reads_late) as connections:
        answer = asyncio.create_task(post(connections, b"head", LARGE, b"tail"))
        await until(lambda: len(connections))
        (connection,) = connections._open
        await until(lambda: connection._is_paused)
        held_bytes = connection._transport.get_write_buffer_size()
        assert 0 < held_bytes <= PIECE_BYTES + HIGH_WATER_BYTES
        may_read.set()
        assert (await answer).body == b"mask"
        assert connection.is_idle
    assert received == [b"head" + LARGE + b"tail"]


@on_uvloop
async def test_an_answer_before_the_end_of_the_body_is_returned() -> None:
    async def refuses(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer_of(b"no", 413))
        await gone.wait()  # reads nothing else

    gone = asyncio.Event()
    async with connected(refuses) as connections:
        assert (await post(connections, LARGE)).status == 413
        await until(lambda: not len(connections))
        gone.set()


@on_uvloop
async def test_a_peer_that_closes_in_the_midst_of_a_body_breaks_the_connection() -> None:
    async def leaves(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    async with connected(leaves) as connections:
        with pytest.raises(ConnectionBrokenError):
            await post(connections, LARGE)
        await until(lambda: not len(connections))


@on_uvloop
async def test_what_arrives_without_a_request_closes_the_connection() -> None:
    late = asyncio.Event()

    async def answers_twice(reader: StreamReader, writer: StreamWriter) -> None:
        _, body = await read_request(reader)
        writer.write(answer_of(body))
        if body == b"1":
            await late.wait()
            writer.write(answer_of(b"unasked"))
        await reader.read()  # until the connection is closed

    async with connected(answers_twice) as connections:
        await post(connections, b"1")
        assert len(connections) == 1
        late.set()
        await until(lambda: not len(connections))
        assert (await post(connections, b"2")).body == b"2"


@on_uvloop
async def test_a_connection_with_its_last_answer_is_not_kept() -> None:
    async def says_close(reader: StreamReader, writer: StreamWriter) -> None:
        _, body = await read_request(reader)
        writer.write(answer_of(body, Connection="close"))
        await gone.wait()  # does not close it, though

    gone = asyncio.Event()
    async with connected(says_close) as connections:
        for body in (b"1", b"2"):
            assert (await post(connections, body)).body == body
            await until(lambda: not len(connections))
        gone.set()


@pytest.mark.parametrize("is_unix", [False, True], ids=["tcp", "unix"])
@on_uvloop
async def test_without_a_listener_no_worker_is_ready(is_unix: bool, tmp_path: Path) -> None:
    text = f"unix:{tmp_path}/missing" if is_unix else f"http://127.0.0.1:{free_port()}"
    connections = Connections(InferenceAddress.parse(text), MAX_BYTES)
    with pytest.raises(NotReadyError, match="starting or gone"):
        await post(connections, b"photo")
    assert not len(connections)


@on_uvloop
async def test_a_connection_that_takes_too_long_to_open_is_no_connection() -> None:
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)  # has room for one, whose connection is not accepted
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        address = InferenceAddress("127.0.0.1", listener.getsockname()[1])
        connections = Connections(address, MAX_BYTES, connect_timeout_s=0.1)
        with pytest.raises(NotReadyError, match="starting or gone"):
            await post(connections, b"photo")


@on_uvloop
async def test_a_request_that_times_out_closes_its_connection() -> None:
    async def is_late(reader: StreamReader, writer: StreamWriter) -> None:
        _, body = await read_request(reader)
        if body == b"late":
            await reader.read()  # until the connection is closed
        writer.write(answer_of(body))

    async with connected(is_late) as connections:
        with pytest.raises(WorkerSilentError, match=r"within 0\.05 s"):
            await post(connections, b"late", timeout_s=0.05)
        await until(lambda: not len(connections))
        assert (await post(connections, b"next")).body == b"next"


@on_uvloop
async def test_closing_ends_requests_and_connections() -> None:
    async def hangs(reader: StreamReader, writer: StreamWriter) -> None:
        _, body = await read_request(reader)
        if body == b"kept":
            writer.write(answer_of(body))
        await reader.read()

    async with connected(hangs) as connections:
        await post(connections, b"kept")
        hanging = [asyncio.create_task(post(connections, b"hangs")) for _ in range(2)]
        await until(lambda: len(connections) == 2)
        await connections.close()
        ends = await asyncio.gather(*hanging, return_exceptions=True)
        assert {type(end) for end in ends} == {ConnectionBrokenError}
        await until(lambda: not len(connections))


@pytest.mark.parametrize("part", ["a\r\nX-B: 1", "a\n", "a\r"])
async def test_a_line_break_in_a_head_is_refused(part: str) -> None:
    connections = Connections(InferenceAddress.parse("http://127.0.0.1:1"), MAX_BYTES)
    for target, headers in (
        (part, []),
        ("/", [(part.encode(), b"1")]),
        ("/", [(b"X", part.encode())]),
    ):
        with pytest.raises(ValueError, match="line break"):
            await connections.post(target, headers, [], 10)


class RandomUpstream:
    """Answers with a request's body: in pieces, late, with bytes behind it, or not to its end."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    async def pause(self) -> None:
        for _ in range(self.chance.choice([0, 0, 1, 3])):
            await asyncio.sleep(0)
        if self.chance.random() < 0.1:
            await asyncio.sleep(0.002)

    async def handle(self, reader: StreamReader, writer: StreamWriter) -> None:
        faults = ["is-cut", "is-doubled", "closes", *["none"] * 17]
        fault = "none"
        while fault not in {"is-cut", "closes"}:
            _, body = await read_request(reader)
            await self.pause()
            fault = self.chance.choice(faults)
            answer = answer_of(body)
            cut = self.chance.randrange(len(answer))
            writer.write(answer[:cut])
            await self.pause()
            if fault != "is-cut":
                writer.write(answer[cut:] + answer * (fault == "is-doubled"))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_no_answer_is_another_requests(
    run: Callable[[Coroutine[Any, Any, None]], None], seed: int, tmp_path: Path
) -> None:
    """Callers are cancelled and time out, too."""
    upstream = RandomUpstream(random.Random(seed))
    ends: Counter[type] = Counter()

    async def call(connections: Connections, body: bytes) -> None:
        timeout_s = upstream.chance.choice([10, 10, 0.001])
        request = asyncio.create_task(post(connections, body, timeout_s=timeout_s))
        if upstream.chance.random() < 0.2:
            await upstream.pause()
            request.cancel()
        (end,) = await asyncio.gather(request, return_exceptions=True)
        ends[type(end)] += 1
        assert not isinstance(end, UpstreamAnswer) or end.body == body

    async def call_repeatedly(connections: Connections, name: int) -> None:
        for number in range(40):
            await call(connections, b"%d/%d" % (name, number))

    async def all_callers() -> None:
        async with connected(upstream.handle, tmp_path / "socket") as connections:
            await asyncio.gather(*(call_repeatedly(connections, name) for name in range(8)))

    run(all_callers())
    assert ends.keys() == {
        UpstreamAnswer,
        asyncio.CancelledError,
        ConnectionBrokenError,
        WorkerSilentError,
    }
