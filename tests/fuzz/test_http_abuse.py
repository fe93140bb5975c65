"""HTTP abuse against a real gateway process: each connection ends in time, no request is smuggled,
memory is bounded, and another client gets its masks.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tests.fuzz.attacked_gateway import TIMEOUT_S, attacked, check
from tests.support.http_abuse import (
    CORPUS,
    HOST,
    SMUGGLED,
    STATUS,
    Abuse,
    exchange,
)

# 307: "/" leads to the documentation
STATUSES = {200, 307, 400, 401, 404, 405, 408, 413, 415, 422, 429, 431, 501, 503}


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
