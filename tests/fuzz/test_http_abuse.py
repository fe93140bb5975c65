"""HTTP abuse against a real gateway process: each connection ends in time, no request is smuggled,
memory is bounded, and another client gets its masks.
"""

import asyncio
import hashlib
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest

from tests.fuzz.memory import resident_bytes
from tests.integration.server import Command
from tests.support.fakes import CAT, NO_TLS, FakeTorchServe, free_port, listening, until
from tests.support.http_abuse import (
    CHUNKED,
    CORPUS,
    GET,
    HOST,
    LIVEZ,
    NOWHERE,
    POST,
    SMUGGLED,
    STATUS,
    Abuse,
    exchange,
)

START_S = 60.0
# of the process: the limit of all connections' buffers, and some garbage
MAX_GROWTH_BYTES = 80_000_000
# for another client's photo during the abuse, on a busy machine
TIMEOUT_S = 20.0
FLOOD_BYTES = 40_000_000
FLOOD_S = 10.0
STATUSES = {200, 400, 401, 404, 405, 408, 413, 415, 422, 429, 431, 501, 503}
KEY = "a-key-of-the-tests"


@dataclass
class AttackedGateway:
    """A gateway process, and another client that always sends photos."""

    port: int
    pid: int
    http: httpx.AsyncClient
    start_bytes: int = 0
    most_bytes: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    slowest_s: float = 0.0

    async def send_photos(self) -> None:
        """Send photos one after the other, and read the gateway's memory."""
        while True:
            began = asyncio.get_running_loop().time()
            answer = await self.http.post("/v1/segment", content=CAT)
            self.slowest_s = max(self.slowest_s, asyncio.get_running_loop().time() - began)
            self.answers[answer.status_code] += 1
            self.most_bytes = max(self.most_bytes, resident_bytes(self.pid))

    def growth_bytes(self) -> int:
        return self.most_bytes - self.start_bytes


@asynccontextmanager
async def attacked(folder: Path, *, has_keys: bool = False) -> AsyncIterator[AttackedGateway]:
    """Start a gateway with a fake TorchServe, and send it photos until the block is left."""
    port, torchserve = free_port(), FakeTorchServe()
    keys = folder / "keys"
    keys.write_text(f"{hashlib.sha256(KEY.encode()).hexdigest()} good\n")
    async with listening(torchserve) as url:
        environment = {
            "FCNSERVE_PORT": str(port),
            "FCNSERVE_TORCHSERVE_URL": url,
            "FCNSERVE_API_KEYS_FILE": str(keys) if has_keys else "",
        }
        command = Command(folder / "log", "gateway", environment=environment)
        try:
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}",
                headers={"X-API-Key": KEY},
                verify=NO_TLS,
                timeout=TIMEOUT_S,
            ) as http:
                gateway = AttackedGateway(port, command.process.pid, http)
                await until(lambda: is_ready(http), START_S)
                await asyncio.gather(*(http.post("/v1/segment", content=CAT) for _ in range(16)))
                gateway.start_bytes = resident_bytes(gateway.pid)
                sending = asyncio.create_task(gateway.send_photos())
                yield gateway
                assert not sending.done(), sending.exception()
                sending.cancel()
                with suppress(asyncio.CancelledError):
                    await sending
                assert "Traceback" not in command.output()
        finally:
            await asyncio.to_thread(command.end)


async def is_ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def check(gateway: AttackedGateway, figures: list[str], name: str) -> None:
    figures.append(
        f"{name}: {gateway.answers.total()} photos of the other client, the slowest "
        f"{gateway.slowest_s:.2f} s, memory {gateway.start_bytes / 1e6:.0f} to "
        f"{gateway.most_bytes / 1e6:.0f} MB"
    )
    assert set(gateway.answers) == {200}
    assert gateway.growth_bytes() < MAX_GROWTH_BYTES


async def test_abuse_is_answered_as_in_the_table(tmp_path: Path, figures: list[str]) -> None:
    async with attacked(tmp_path) as gateway:
        for _ in range(3):
            for abuse in CORPUS:
                found = await exchange(gateway.port, abuse)
                expected = abuse.statuses + (200,) * abuse.keeps_open
                assert found.statuses == expected, f"{abuse}: {found}"
                assert found.closed is (not abuse.keeps_open), f"{abuse}: {found}"
                assert b"smuggled" not in found.received, f"{abuse}: {found}"
        check(gateway, figures, "http corpus")


def mutants(seed: int, number: int) -> Iterator[Abuse]:
    for index in range(number):
        rng = random.Random(f"http {seed}/{index}")
        abuse = rng.choice(CORPUS)
        data = bytearray(b"".join(abuse.packets)[:20_000])
        for _ in range(rng.choice((1, 1, 2, 5))):
            mutate(data, rng)
        yield replace(abuse, name=f"{index} of {abuse}", packets=cut(bytes(data), rng))


def mutate(data: bytearray, rng: random.Random) -> None:
    """Change, delete, insert or repeat a few bytes."""
    at, size = rng.randrange(len(data) + 1), rng.choice((1, 1, 2, 10, 100))
    match rng.randrange(5):
        case 0:
            data[at : at + 1] = rng.randbytes(1)
        case 1:
            del data[at : at + size]
        case 2:
            data[at:at] = rng.choice(TOKENS)
        case 3:
            data[at:at] = data[at : at + size]
        case 4:
            data[at:at] = rng.choice(CORPUS).packets[0][:2_000]


TOKENS = (
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b"0", b"f" * 16, b"\r\n\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n", b"Connection: Upgrade\r\n"),
    *(b"Upgrade: h2c\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n", HOST, SMUGGLED),
)


def cut(data: bytes, rng: random.Random) -> tuple[bytes, ...]:
    """Split data into one or a few packets."""
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.choice((0, 0, 1, 3))))
    return tuple(data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True))


async def test_mutated_http_gets_an_answer_or_a_closed_connection(
    tmp_path: Path, figures: list[str], seed: int, abuses: int
) -> None:
    found: Counter[int] = Counter()
    async with attacked(tmp_path) as gateway:
        scripts = mutants(seed, abuses)

        async def send_some() -> None:
            for script in scripts:
                received = await send_and_end(gateway.port, script)
                statuses = [int(status) for status in STATUS.findall(received)]
                assert set(statuses) <= STATUSES | {100}, (
                    f"{script}: {script.packets!r}: {received!r}"
                )
                found.update(statuses)

        async with asyncio.TaskGroup() as group:
            for _ in range(16):
                group.create_task(send_some())
        check(gateway, figures, f"mutated http, {dict(found)}")


async def send_and_end(port: int, abuse: Abuse) -> bytes:
    """Send packets, then the end of the stream; returns what the server sends until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            for packet in abuse.packets:
                writer.write(packet)
                await asyncio.sleep(0.005)
            received = b""
            with suppress(TimeoutError):
                async with asyncio.timeout(0.05):  # or it waits for more
                    while more := await reader.read(1 << 16):
                        received += more
            writer.write_eof()
            while more := await reader.read(1 << 16):
                received += more
            return received
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


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
