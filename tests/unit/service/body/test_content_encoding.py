"""A compressed body is decompressed within the limits of one that is not compressed."""

import asyncio
import gzip
import random
import threading
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from service.body.content_encoding import MAX_MEMBERS, PIECE_BYTES, CountBytes, Decompressor
from service.body.read import IMAGE_ADVICE
from service.errors import BodyTooLargeError, BusyError
from tests.support.fakes import CAT, Gateway, running

LIMIT = 50_000
BOMB_BYTES = 20_000_000
BOMB = gzip.compress(bytes(BOMB_BYTES))
FORM = "multipart/form-data; boundary=b"


def raw_deflate(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with running(max_body_bytes=LIMIT) as gateway:
        yield gateway


def coded(*codings: str) -> dict[str, str]:
    return {"Content-Encoding": ", ".join(codings)}


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        pytest.param("gzip", gzip.compress(CAT), id="gzip"),
        pytest.param("GZip", gzip.compress(CAT, 0), id="case-and-level"),
        pytest.param("x-gzip", gzip.compress(CAT), id="x-gzip"),
        pytest.param("gzip", gzip.compress(CAT[:99]) + gzip.compress(CAT[99:]), id="two-members"),
        pytest.param("deflate", zlib.compress(CAT), id="deflate"),
        pytest.param("deflate", raw_deflate(CAT), id="deflate-without-frame"),
        pytest.param("identity", CAT, id="identity"),
        pytest.param("identity, gzip", gzip.compress(CAT), id="identity-first"),
        pytest.param("", CAT, id="nothing"),
    ],
)
async def test_a_compressed_photo_is_answered_as_the_photo(
    gateway: Gateway, coding: str, body: bytes
) -> None:
    answer = await gateway.segment(body, headers=coded(coding))
    assert answer.status_code == 200, answer.text
    assert gateway.torchserve.photos[0].body == CAT


async def test_a_form_may_be_compressed_too(gateway: Gateway) -> None:
    form = b'--b\r\nContent-Disposition: form-data; name="images"\r\n\r\n' + CAT + b"\r\n--b--\r\n"
    headers = coded("gzip") | {"Content-Type": "multipart/form-data; boundary=b"}
    for route in ("/v1/segment/batch", "/v1/segment"):
        body = gzip.compress(form.replace(b"images", b"image") if "batch" not in route else form)
        answer = await gateway.http.post(route, content=body, headers=headers)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "coding", ["br", "zstd", "compress", "gzip, gzip", "gzip, br", "g" * 3000, "*"]
)
async def test_an_unsupported_coding_is_415_with_the_supported_ones(
    gateway: Gateway, coding: str
) -> None:
    answer = await gateway.segment(CAT, headers=coded(coding))
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_content_encoding")
    assert answer.headers["accept-encoding"] == "gzip, deflate"
    assert "without this header" in answer.json()["detail"]
    assert len(answer.json()["detail"]) < 400


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        pytest.param("gzip", CAT, id="not-compressed"),
        pytest.param("gzip", gzip.compress(CAT)[:-1], id="cut"),
        pytest.param("gzip", gzip.compress(CAT)[:9], id="cut-in-header"),
        pytest.param("gzip", gzip.compress(CAT) + b"more", id="more-behind-it"),
        pytest.param("gzip", gzip.compress(CAT)[:-8] + bytes(8), id="wrong-checksum"),
        pytest.param("gzip", zlib.compress(CAT), id="zlib"),
        pytest.param("gzip", gzip.compress(b"") * (MAX_MEMBERS + 1), id="many-members"),
        pytest.param("deflate", gzip.compress(CAT), id="gzip-as-deflate"),
        pytest.param("deflate", b"\0", id="one-byte"),
        pytest.param("deflate", zlib.compress(CAT) + b"more", id="deflate-and-more"),
    ],
)
async def test_a_body_that_is_not_in_its_coding_is_bad_content_encoding(
    gateway: Gateway, coding: str, body: bytes
) -> None:
    answer = await gateway.segment(body, headers=coded(coding))
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_content_encoding")
    assert gateway.in_flight == 0


async def test_an_empty_body_is_an_empty_body_in_each_coding(gateway: Gateway) -> None:
    for body in (b"", gzip.compress(b"")):
        answer = await gateway.segment(body, headers=coded("gzip"))
        assert answer.json()["code"] == "empty_body"


@pytest.mark.parametrize("members", [1, 50])
async def test_a_bomb_ends_at_the_limit(gateway: Gateway, members: int) -> None:
    bomb = gzip.compress(bytes(20_000_000 // members)) * members
    assert len(bomb) < LIMIT
    answer = await gateway.segment(bomb, headers=coded("gzip"))
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert f"more than {LIMIT} bytes when it is unpacked" in answer.json()["detail"]


@pytest.fixture
def decompressor() -> Iterator[Decompressor]:
    decompressor = Decompressor()
    yield decompressor
    decompressor.close()


def unlimited(more_bytes: int) -> None:
    """Counts without a limit."""


async def decompressed(
    decompressor: Decompressor, body: bytes, max_body_bytes: int, count: CountBytes
) -> bytes:
    return await decompressor.decompress(body, "gzip", max_body_bytes, count, IMAGE_ADVICE)


async def test_a_body_of_exactly_the_limit_is_decompressed(decompressor: Decompressor) -> None:
    body = gzip.compress(bytes(LIMIT))
    assert len(await decompressed(decompressor, body, LIMIT, unlimited)) == LIMIT
    with pytest.raises(BodyTooLargeError):
        await decompressed(decompressor, body, LIMIT - 1, unlimited)


async def test_no_more_is_decompressed_than_may_be_in_flight(decompressor: Decompressor) -> None:
    held = 0

    def count(more_bytes: int) -> None:
        nonlocal held
        if held + more_bytes > 5 * PIECE_BYTES:
            raise BusyError("no room", retry_after_s=1)
        held += more_bytes

    with peak() as peak_bytes, pytest.raises(BusyError):
        await decompressed(decompressor, BOMB, BOMB_BYTES, count)
    assert held == 5 * PIECE_BYTES
    assert peak_bytes[0] < 8 * PIECE_BYTES


@pytest.mark.parametrize(
    ("body", "decompressed_bytes"),
    [
        pytest.param(BOMB, BOMB_BYTES, id="bomb"),
        pytest.param(gzip.compress(CAT), len(CAT), id="photo"),
        pytest.param(gzip.compress(CAT) * 3, 3 * len(CAT), id="members"),
        pytest.param(gzip.compress(b""), 0, id="nothing"),
    ],
)
async def test_the_count_at_the_end_is_the_size_of_the_decompressed_body(
    decompressor: Decompressor, body: bytes, decompressed_bytes: int
) -> None:
    held = [len(body)]
    assert (
        len(await decompressed(decompressor, body, BOMB_BYTES, held.append)) == decompressed_bytes
    )
    assert sum(held) == decompressed_bytes
    assert max(held[1:]) <= PIECE_BYTES


@pytest.mark.parametrize("empty_members", [0, MAX_MEMBERS - 1])
async def test_neither_the_compressed_nor_the_decompressed_body_is_copied(
    decompressor: Decompressor, empty_members: int
) -> None:
    noise = random.Random(1).randbytes(BOMB_BYTES)
    body = gzip.compress(b"") * empty_members + gzip.compress(noise, 1)
    with peak() as peak_bytes:
        assert await decompressed(decompressor, body, BOMB_BYTES, unlimited) == noise
    assert peak_bytes[0] < 1.5 * BOMB_BYTES


async def test_decompression_ends_between_two_pieces_when_it_is_cancelled(
    decompressor: Decompressor,
) -> None:
    counts: list[int] = []

    def count(more_bytes: int) -> None:
        counts.append(more_bytes)
        if len(counts) == 3:
            task.cancel()

    task = asyncio.create_task(decompressed(decompressor, BOMB, BOMB_BYTES, count))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counts == [PIECE_BYTES, 0, PIECE_BYTES]
    assert await decompressed(decompressor, gzip.compress(CAT), LIMIT, unlimited) == CAT


async def test_a_small_body_does_not_wait_for_large_ones(decompressor: Decompressor) -> None:
    bombs = [
        asyncio.create_task(decompressed(decompressor, BOMB, BOMB_BYTES, unlimited))
        for _ in range(8)
    ]
    await asyncio.sleep(0)
    assert await decompressed(decompressor, gzip.compress(CAT), LIMIT, unlimited) == CAT
    assert not any(bomb.done() for bomb in bombs)
    await asyncio.gather(*bombs)


async def test_decompression_needs_no_thread_of_the_default_executor(gateway: Gateway) -> None:
    done = threading.Event()
    busy = ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(busy)
    busy.submit(done.wait)
    try:
        async with asyncio.timeout(10):
            answer = await gateway.segment(gzip.compress(CAT), headers=coded("gzip"))
    finally:
        done.set()
    assert answer.status_code == 200, answer.text


async def test_bombs_take_no_more_memory_than_allowed_and_change_no_overlay() -> None:
    room_bytes = 30_000_000
    async with running(max_in_flight_bytes=room_bytes) as gateway:
        await gateway.ready()
        single = await gateway.segment(output="overlay")
        headers = coded("gzip") | {"Content-Type": FORM}

        async def bomb() -> httpx.Response:
            return await gateway.http.post("/v1/segment/batch", content=BOMB, headers=headers)

        with peak() as peak_bytes:
            bombs = [asyncio.create_task(bomb()) for _ in range(12)]
            overlays = [await gateway.segment(output="overlay") for _ in range(5)]
            answers = await asyncio.gather(*bombs)
        assert {answer.content for answer in overlays} <= {single.content}
        assert {answer.json()["code"] for answer in answers} <= {"bad_multipart", "busy"}
        assert peak_bytes[0] < 2 * room_bytes
        assert gateway.value("fcnserve_bytes_in_flight") == 0


@contextmanager
def peak() -> Iterator[list[int]]:
    """Measure how many bytes more are allocated inside at most: one number, after the block."""
    found: list[int] = []
    tracemalloc.start()
    began_bytes, _ = tracemalloc.get_traced_memory()
    try:
        yield found
    finally:
        found.append(tracemalloc.get_traced_memory()[1] - began_bytes)
        tracemalloc.stop()
