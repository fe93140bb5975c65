"""A packed body is unpacked within the bounds of one that is not."""

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

from service.body.content_encoding import MOST_MEMBERS, PIECE_BYTES, Decompressor, Hold
from service.body.read import IMAGE_ADVICE
from service.errors import BodyTooLargeError, BusyError
from tests.support.fakes import CAT, Gateway, running

LIMIT = 50_000
BOMB_BYTES = 20_000_000
BOMB = gzip.compress(bytes(BOMB_BYTES))
FORM = "multipart/form-data; boundary=b"


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


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
async def test_a_packed_photo_is_answered_as_the_photo(
    gateway: Gateway, coding: str, body: bytes
) -> None:
    answer = await gateway.segment(body, headers=coded(coding))
    assert answer.status_code == 200, answer.text
    assert gateway.torchserve.photos[0].body == CAT


async def test_a_form_may_be_packed_too(gateway: Gateway) -> None:
    form = b'--b\r\nContent-Disposition: form-data; name="images"\r\n\r\n' + CAT + b"\r\n--b--\r\n"
    headers = coded("gzip") | {"Content-Type": "multipart/form-data; boundary=b"}
    for route in ("/v1/segment/batch", "/v1/segment"):
        body = gzip.compress(form.replace(b"images", b"image") if "batch" not in route else form)
        answer = await gateway.http.post(route, content=body, headers=headers)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "coding", ["br", "zstd", "compress", "gzip, gzip", "gzip, br", "g" * 3000, "*"]
)
async def test_what_is_not_unpacked_is_told_what_is(gateway: Gateway, coding: str) -> None:
    answer = await gateway.segment(CAT, headers=coded(coding))
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_content_encoding")
    assert answer.headers["accept-encoding"] == "gzip, deflate"
    assert "without this header" in answer.json()["detail"]
    assert len(answer.json()["detail"]) < 400


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        pytest.param("gzip", CAT, id="not-packed"),
        pytest.param("gzip", gzip.compress(CAT)[:-1], id="cut"),
        pytest.param("gzip", gzip.compress(CAT)[:9], id="cut-in-header"),
        pytest.param("gzip", gzip.compress(CAT) + b"more", id="more-behind-it"),
        pytest.param("gzip", gzip.compress(CAT)[:-8] + bytes(8), id="wrong-checksum"),
        pytest.param("gzip", zlib.compress(CAT), id="zlib"),
        pytest.param("gzip", gzip.compress(b"") * (MOST_MEMBERS + 1), id="many-members"),
        pytest.param("deflate", gzip.compress(CAT), id="gzip-as-deflate"),
        pytest.param("deflate", b"\0", id="one-byte"),
        pytest.param("deflate", zlib.compress(CAT) + b"more", id="deflate-and-more"),
    ],
)
async def test_what_is_not_packed_as_it_says_is_told_so(
    gateway: Gateway, coding: str, body: bytes
) -> None:
    answer = await gateway.segment(body, headers=coded(coding))
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_content_encoding")
    assert gateway.in_flight == 0


async def test_an_empty_body_is_an_empty_body_however_it_is_packed(gateway: Gateway) -> None:
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
def unpacking() -> Iterator[Decompressor]:
    unpacking = Decompressor()
    yield unpacking
    unpacking.close()


def counted(more_bytes: int) -> None:
    """Has room for all."""


async def unpack(unpacking: Decompressor, body: bytes, max_body_bytes: int, hold: Hold) -> bytes:
    return await unpacking.decompress(body, "gzip", max_body_bytes, hold, IMAGE_ADVICE)


async def test_the_limit_itself_is_unpacked(unpacking: Decompressor) -> None:
    body = gzip.compress(bytes(LIMIT))
    assert len(await unpack(unpacking, body, LIMIT, counted)) == LIMIT
    with pytest.raises(BodyTooLargeError):
        await unpack(unpacking, body, LIMIT - 1, counted)


async def test_no_more_is_unpacked_than_there_is_room_for(unpacking: Decompressor) -> None:
    held = 0

    def hold(more_bytes: int) -> None:
        nonlocal held
        if held + more_bytes > 5 * PIECE_BYTES:
            raise BusyError("no room", retry_after_s=1)
        held += more_bytes

    with peak() as peak_bytes, pytest.raises(BusyError):
        await unpack(unpacking, BOMB, BOMB_BYTES, hold)
    assert held == 5 * PIECE_BYTES
    assert peak_bytes[0] < 8 * PIECE_BYTES


@pytest.mark.parametrize(
    ("body", "unpacked_bytes"),
    [
        pytest.param(BOMB, BOMB_BYTES, id="bomb"),
        pytest.param(gzip.compress(CAT), len(CAT), id="photo"),
        pytest.param(gzip.compress(CAT) * 3, 3 * len(CAT), id="members"),
        pytest.param(gzip.compress(b""), 0, id="nothing"),
    ],
)
async def test_what_is_held_at_the_end_is_what_the_body_has_then(
    unpacking: Decompressor, body: bytes, unpacked_bytes: int
) -> None:
    held = [len(body)]
    assert len(await unpack(unpacking, body, BOMB_BYTES, held.append)) == unpacked_bytes
    assert sum(held) == unpacked_bytes
    assert max(held[1:]) <= PIECE_BYTES


@pytest.mark.parametrize("empty_members", [0, MOST_MEMBERS - 1])
async def test_neither_what_was_packed_nor_what_comes_out_is_copied_whole(
    unpacking: Decompressor, empty_members: int
) -> None:
    noise = random.Random(1).randbytes(BOMB_BYTES)
    body = gzip.compress(b"") * empty_members + gzip.compress(noise, 1)
    with peak() as peak_bytes:
        assert await unpack(unpacking, body, BOMB_BYTES, counted) == noise
    assert peak_bytes[0] < 1.5 * BOMB_BYTES


async def test_unpacking_ends_between_two_pieces_when_its_deadline_passes(
    unpacking: Decompressor,
) -> None:
    asked: list[int] = []

    def hold(more_bytes: int) -> None:
        asked.append(more_bytes)
        if len(asked) == 3:
            task.cancel()

    task = asyncio.create_task(unpack(unpacking, BOMB, BOMB_BYTES, hold))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asked == [PIECE_BYTES, 0, PIECE_BYTES]
    assert await unpack(unpacking, gzip.compress(CAT), LIMIT, counted) == CAT


async def test_a_small_body_waits_for_no_large_one(unpacking: Decompressor) -> None:
    bombs = [asyncio.create_task(unpack(unpacking, BOMB, BOMB_BYTES, counted)) for _ in range(8)]
    await asyncio.sleep(0)
    assert await unpack(unpacking, gzip.compress(CAT), LIMIT, counted) == CAT
    assert not any(bomb.done() for bomb in bombs)
    await asyncio.gather(*bombs)


async def test_unpacking_needs_no_thread_of_others(gateway: Gateway) -> None:
    done = threading.Event()
    others = ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(others)
    others.submit(done.wait)
    try:
        async with asyncio.timeout(10):
            answer = await gateway.segment(gzip.compress(CAT), headers=coded("gzip"))
    finally:
        done.set()
    assert answer.status_code == 200, answer.text


async def test_bombs_take_no_more_memory_than_requests_may_and_harm_no_overlay() -> None:
    room_bytes = 30_000_000
    async with running(max_in_flight_bytes=room_bytes) as gateway:
        await gateway.ready()
        lone = await gateway.segment(output="overlay")
        headers = coded("gzip") | {"Content-Type": FORM}

        async def bomb() -> httpx.Response:
            return await gateway.http.post("/v1/segment/batch", content=BOMB, headers=headers)

        with peak() as peak_bytes:
            bombs = [asyncio.create_task(bomb()) for _ in range(12)]
            overlays = [await gateway.segment(output="overlay") for _ in range(5)]
            answers = await asyncio.gather(*bombs)
        assert {answer.content for answer in overlays} <= {lone.content}
        assert {answer.json()["code"] for answer in answers} <= {"bad_multipart", "busy"}
        assert peak_bytes[0] < 2 * room_bytes
        assert gateway.value("fcnserve_bytes_in_flight") == 0


@contextmanager
def peak() -> Iterator[list[int]]:
    """How many bytes more were taken inside at the most: one number, there when it has ended."""
    found: list[int] = []
    tracemalloc.start()
    began_bytes, _ = tracemalloc.get_traced_memory()
    try:
        yield found
    finally:
        found.append(tracemalloc.get_traced_memory()[1] - began_bytes)
        tracemalloc.stop()
