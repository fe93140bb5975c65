"""A packed body is unpacked within the bounds of one that is not."""

import gzip
import zlib
from collections.abc import AsyncIterator

import pytest

from service.body import IMAGE_ADVICE
from service.coding import MOST_MEMBERS, unpack
from service.errors import BodyTooLargeError
from tests.fakes import CAT, Gateway, running

LIMIT = 50_000


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


def test_the_limit_itself_is_unpacked() -> None:
    body = gzip.compress(bytes(LIMIT))
    assert len(unpack(body, "gzip", LIMIT, IMAGE_ADVICE)) == LIMIT
    with pytest.raises(BodyTooLargeError):
        unpack(body, "gzip", LIMIT - 1, IMAGE_ADVICE)
