"""A photo's bytes arrive in each way of sending them; an unreadable body is explained."""

import asyncio
import base64
import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from textwrap import wrap

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.requests import Request

from handlers.shared.wire import IMAGES_MEDIA_TYPE
from service.body.json_image import from_json
from service.body.multipart import from_multipart
from service.body.read import declared_body_bytes, read_body
from service.deadline import Deadline
from service.errors import (
    BadBase64Error,
    BadJsonError,
    BadMultipartError,
    BodyTooLargeError,
)
from tests.support.fakes import CAT, Gateway, running, until
from tests.unit.service.body.test_budget import budget_of

LIMIT = 40_000  # the cat has 35,042 bytes, in base64 46,724
JSON, FORM = "application/json", "multipart/form-data"


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with running(max_body_bytes=LIMIT) as gateway:
        yield gateway


def multipart(
    body: bytes, field: str = "image", boundary: str = "b", filename: str = "cat.jpg"
) -> bytes:
    disposition = f'form-data; name="{field}"; filename="{filename}"'
    head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\n\r\n"
    return head.encode() + body + f"\r\n--{boundary}--\r\n".encode()


TEXT = b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\na cat\r\n'
DISPOSITION = b'Content-Disposition: form-data; name="image"; filename="cat.jpg"'


def form(disposition: str) -> bytes:
    """Make a form whose only part has this Content-Disposition."""
    return multipart(CAT).replace(DISPOSITION, f"Content-Disposition: {disposition}".encode())


def with_lf(body: bytes) -> bytes:
    """End a form's boundaries and headers in LF, and keep its file."""
    head, blank, rest = body.partition(b"\r\n\r\n")
    content, end, tail = rest.rpartition(b"\r\n--")
    lines = [part.replace(b"\r\n", b"\n") for part in (head, blank, end, tail)]
    return lines[0] + lines[1] + content + lines[2] + lines[3]


def padded(body: bytes) -> bytes:
    """Put spaces after a form's boundaries, which have no meaning (RFC 2046)."""
    for end in (b"\r\n", b"\n"):
        body = body.replace(b"--b" + end, b"--b \t " + end)
    return body


def base64_json(change: Callable[[str], str]) -> bytes:
    return json.dumps({"image": change(base64.b64encode(CAT).decode())}).encode()


def as_json(body: bytes) -> bytes:
    return json.dumps({"image": base64.b64encode(body).decode()}).encode()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param("image/jpeg", CAT, id="jpeg"),
        pytest.param("image/png", CAT, id="the-bytes-decide-the-format"),
        pytest.param("image/x-unheard-of", CAT, id="unknown-image"),
        pytest.param("IMAGE/JPEG", CAT, id="case"),
        pytest.param("image/jpeg ; q=1; name=x.jpg", CAT, id="parameters"),
        pytest.param("application/octet-stream", CAT, id="octets"),
        pytest.param("", CAT, id="no-type"),
        pytest.param("multipart/form-data; boundary=b", multipart(CAT), id="multipart"),
        pytest.param('Multipart/Form-Data; Boundary="b"', multipart(CAT), id="quoted-boundary"),
        pytest.param(
            "multipart/form-data; charset=no-such; boundary=b", multipart(CAT), id="odd-charset"
        ),
        pytest.param(
            "multipart/form-data;boundary=b",
            multipart(CAT, filename="../../\u732b.jpg"),
            id="odd-filename",
        ),
        pytest.param(JSON, as_json(CAT), id="json"),
        pytest.param("Application/JSON; charset=UTF-8", as_json(CAT), id="json-parameters"),
        pytest.param(f"{FORM}; boundary=b", TEXT * 32 + multipart(CAT), id="text-fields"),
        pytest.param(f"{FORM}; boundary=b", b"hello\r\n" + multipart(CAT), id="preamble"),
        pytest.param(f"{FORM}; boundary=b", b"--bc\r\n" + multipart(CAT), id="near-boundary"),
        pytest.param(f"{FORM}; boundary=b", b"\r\n" + multipart(CAT), id="blank-line-first"),
        pytest.param(f"{FORM}; boundary=b", multipart(CAT) + b"bye", id="epilogue"),
        pytest.param(f"{FORM}; boundary=b", multipart(CAT).rstrip(), id="no-last-line-end"),
        pytest.param(f"{FORM}; boundary=b", with_lf(multipart(CAT)), id="lf"),
        pytest.param(f"{FORM}; boundary=b", padded(multipart(CAT)), id="blanks"),
        pytest.param(f"{FORM}; boundary=b", padded(TEXT) + multipart(CAT), id="blanks-once"),
        pytest.param(f"{FORM}; boundary=b", TEXT + padded(multipart(CAT)), id="blanks-later"),
        pytest.param(f"{FORM}; boundary=b", padded(with_lf(multipart(CAT))), id="blanks-and-lf"),
        pytest.param(FORM, padded(multipart(CAT)), id="blanks-in-the-first-line"),
        pytest.param(
            f"{FORM}; boundary=b", b"hello\r\n" + padded(multipart(CAT)), id="blanks-after-preamble"
        ),
        pytest.param(f"{FORM}; boundary=b", multipart(CAT) + b" \t\r\n", id="blanks-at-the-end"),
        pytest.param(
            f"{FORM}; boundary=b",
            TEXT.replace(b"\r", b"") + with_lf(multipart(CAT)),
            id="lf-fields",
        ),
        pytest.param(FORM, multipart(CAT), id="boundary-in-the-first-line"),
        pytest.param(f"{FORM}; boundary=", multipart(CAT), id="empty-boundary"),
        pytest.param(f"{FORM}; boundary=b", form('form-data; name="image"'), id="no-filename"),
        pytest.param(f"{FORM}; boundary=b", form("form-data; name=image"), id="unquoted-name"),
        pytest.param(
            f"{FORM}; boundary=b",
            form("form-data; name=\"image\"; filename*=UTF-8''K%C3%A4tzchen.jpg"),
            id="filename-star-only",
        ),
        pytest.param(
            f"{FORM}; boundary=b",
            form("form-data; filename*=utf-8'de'a%3Bb.jpg; filename=\"a;b.jpg\"; NAME=image"),
            id="both-filenames",
        ),
        pytest.param("binary/octet-stream", CAT, id="binary"),
        pytest.param("application/x-www-form-urlencoded", CAT, id="curl-default"),
        pytest.param("Application/Octet-Stream; charset=binary", CAT, id="octets-parameters"),
        pytest.param(JSON, b"\xef\xbb\xbf" + as_json(CAT), id="json-bom"),
        pytest.param(JSON, base64_json(lambda text: text.rstrip("=")), id="json-unpadded"),
        pytest.param(
            JSON,
            base64_json(lambda text: text.replace("+", "-").replace("/", "_")),
            id="json-url-alphabet",
        ),
        pytest.param(JSON, base64_json(lambda text: "\r\n".join(wrap(text, 76))), id="json-lines"),
        pytest.param(
            JSON, base64_json(lambda text: f"data:image/jpeg;base64,{text}"), id="json-data-url"
        ),
        pytest.param(
            JSON,
            base64_json(lambda text: f"DATA:image/jpeg;name=cat.jpg;BASE64,{text}\n"),
            id="json-data-url-parameters",
        ),
        pytest.param(JSON, b" \n" + as_json(CAT).replace(b"/", b"\\/"), id="json-escapes"),
    ],
)
async def test_the_worker_gets_the_same_photo_in_each_way_of_sending_it(
    content_type: str, body: bytes
) -> None:
    async with running(max_body_bytes=100_000) as gateway:
        answer = await gateway.segment(body, content_type=content_type)
        plain = await gateway.segment(CAT)
        assert (answer.status_code, answer.content) == (200, plain.content)
        assert [call.body for call in gateway.torchserve.photos] == [CAT, CAT]
        assert gateway.torchserve.photos[0].headers["Content-Type"] == IMAGES_MEDIA_TYPE


@pytest.mark.parametrize(
    ("content_type", "body", "code", "seen"),
    [
        pytest.param("image/jpeg", b"", "empty_body", "empty", id="nothing"),
        pytest.param("image/jpeg", b"hello", "broken_image", "68 65 6c 6c 6f", id="text"),
        pytest.param("text/plain", CAT, "unsupported_content_type", "'text/plain'", id="text-type"),
        pytest.param(
            "application/x-www-form-urlencoded",
            b"image=" + CAT,
            "unsupported_content_type",
            "-H 'Content-Type: image/jpeg'",
            id="curl-data",
        ),
        pytest.param("jpeg", CAT, "unsupported_content_type", "'jpeg'", id="no-slash"),
        pytest.param(", image/jpeg", CAT, "unsupported_content_type", "image/*", id="odd-type"),
        pytest.param("x" * 5000, CAT, "unsupported_content_type", "'xxx", id="endless-type"),
        pytest.param("application/json5", b"{}", "unsupported_content_type", "json5", id="json5"),
        pytest.param(JSON, b"", "bad_json", "EOF", id="json-nothing"),
        pytest.param(JSON, b"{", "bad_json", "EOF", id="json-cut"),
        pytest.param(JSON, b"{}", "bad_json", "required", id="json-no-image"),
        pytest.param(JSON, b"[]", "bad_json", "object", id="json-list"),
        pytest.param(JSON, b"null", "bad_json", "object", id="json-null"),
        pytest.param(JSON, b'{"image":1}', "bad_json", "string", id="json-number"),
        pytest.param(JSON, b'{"image":["YQ=="]}', "bad_json", "string", id="json-list-of-images"),
        pytest.param(JSON, b'{"image":"YQ==","x":1}', "bad_json", "not permitted", id="json-extra"),
        pytest.param(JSON, b'{"image":"\xff\xfe"}', "bad_json", "unicode", id="json-not-utf-8"),
        pytest.param(JSON, b'{"image":"\\ud800"}', "bad_json", "hex escape", id="json-surrogate"),
        pytest.param(JSON, b"\xef\xbb\xbf{}", "bad_json", "required", id="json-bom"),
        pytest.param(JSON, b"\xef\xbb\xbf" * 2, "bad_json", "line 1", id="json-two-boms"),
        pytest.param(JSON, '{"image":""}'.encode("utf-16"), "bad_json", "line 1", id="json-utf-16"),
        pytest.param(JSON, b'{"image":NaN}', "bad_json", "string", id="json-nan"),
        pytest.param(JSON, b'{"image":""}', "empty_body", "empty", id="json-empty-image"),
        pytest.param(JSON, b'{"image":"_-+/"}', "bad_base64", "base64", id="base64-two-alphabets"),
        pytest.param(JSON, b'{"image":"YQ="}', "bad_base64", "base64", id="base64-half-padded"),
        pytest.param(JSON, b'{"image":"YWI=="}', "bad_base64", "base64", id="base64-too-padded"),
        pytest.param(JSON, b'{"image":"Y"}', "bad_base64", "base64", id="base64-one-letter"),
        pytest.param(JSON, b'{"image":"YQ==YQ=="}', "bad_base64", "base64", id="base64-twice"),
        pytest.param(JSON, b'{"image":"=YQ="}', "bad_base64", "base64", id="base64-padding-first"),
        pytest.param(JSON, '{"image":"é"}'.encode(), "bad_base64", "base64", id="base64-accent"),
        pytest.param(
            JSON,
            b'{"image":"data:image/svg+xml,%3Csvg"}',
            "bad_base64",
            "data:",
            id="data-no-base64",
        ),
        pytest.param(
            JSON,
            b'{"image":"aGVsbG8="}',
            "broken_image",
            "68 65 6c 6c 6f",
            id="json-text-in-base64",
        ),
        pytest.param(
            "multipart/form-data",
            b"preamble\r\n" + multipart(CAT),
            "bad_multipart",
            "names no boundary",
            id="no-boundary",
        ),
        pytest.param(
            "multipart/form-data; boundary=b; boundary=c",
            multipart(CAT),
            "bad_multipart",
            "several boundaries",
            id="two-boundaries",
        ),
    ],
)
async def test_an_unreadable_body_is_explained(
    gateway: Gateway, content_type: str, body: bytes, code: str, seen: str
) -> None:
    problem = (await gateway.segment(body, content_type=content_type)).json()
    assert problem["code"] == code
    assert seen in problem["detail"]
    assert problem["detail"].isascii()
    assert len(problem["detail"]) < 400
    assert gateway.torchserve.photos == []


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        pytest.param(b"", "no whole file", id="nothing"),
        pytest.param(b"\xff\xd8\xff", "is not in the body", id="no-multipart"),
        pytest.param(multipart(CAT, boundary="other"), "is not in the body", id="other-boundary"),
        pytest.param(multipart(CAT, boundary="bb"), "is not in the body", id="longer-boundary"),
        pytest.param(b"x" * 20_000 + b"\r\n" + multipart(b"x"), "is not in", id="endless-preamble"),
        pytest.param(multipart(CAT, field="photo"), "the field 'photo'", id="wrong-field"),
        pytest.param(multipart(b"one")[:-7] + multipart(b"two"), "more than one", id="two-files"),
        pytest.param(
            multipart(b"x")[:-7] + multipart(b"x", field="mask"),
            "the field 'mask'",
            id="other-file",
        ),
        pytest.param(TEXT * 33 + multipart(CAT), "more than 32 fields", id="many-fields"),
        pytest.param(TEXT + b"--b--\r\n", "there are 'title'", id="text-alone"),
        pytest.param(
            multipart(CAT).replace(
                b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n", 1
            ),
            "send its bytes as they are",
            id="transfer-encoding",
        ),
        pytest.param(
            b"--b\r\nContent-Disposition: form-data; name=title\r\n" + multipart(CAT)[5:],
            "two headers content-disposition",
            id="two-dispositions",
        ),
        pytest.param(multipart(CAT)[:-9], "closing boundary", id="truncated"),
        pytest.param(multipart(CAT)[:20], "no whole file", id="truncated-in-header"),
        pytest.param(
            b"--b\r\n\r\nx\r\n--b--\r\n", "no header Content-Disposition", id="no-disposition"
        ),
    ],
)
async def test_a_bad_multipart_body_is_explained(gateway: Gateway, body: bytes, seen: str) -> None:
    answer = await gateway.segment(body, content_type="multipart/form-data; boundary=b")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_multipart")
    assert seen in answer.json()["detail"]


async def test_an_empty_file_is_an_empty_body(gateway: Gateway) -> None:
    answer = await gateway.segment(multipart(b""), content_type="multipart/form-data; boundary=b")
    assert (answer.status_code, answer.json()["code"]) == (400, "empty_body")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" * 100_000, id="lists"),
        pytest.param(b'{"image":' * 100_000, id="objects"),
        pytest.param(b'{"image":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="closed"),
    ],
)
def test_json_nested_100_000_deep_is_bad_json(body: bytes) -> None:
    with pytest.raises(BadJsonError):
        from_json(body)


@given(st.binary(max_size=200), st.text(st.characters(codec="latin-1"), max_size=80))
def test_any_multipart_body_is_read_or_a_problem(body: bytes, parameters: str) -> None:
    headers = Headers({"content-type": f"multipart/form-data; {parameters}"})
    with suppress(BadMultipartError):
        asyncio.run(from_multipart(headers, body))


@given(st.binary(max_size=100))
def test_any_json_body_is_read_or_a_problem(body: bytes) -> None:
    with suppress(BadJsonError, BadBase64Error):
        from_json(body)


async def in_pieces(body: bytes, size: int = 10_000) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.mark.parametrize("content_type", ["image/jpeg", JSON, "multipart/form-data; boundary=b"])
@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
@pytest.mark.parametrize("body_bytes", [LIMIT + 1, 2 * LIMIT + 1, 50 * LIMIT], ids=str)
async def test_a_client_of_too_large_a_body_receives_the_problem(
    gateway: Gateway, content_type: str, declared: bool, body_bytes: int
) -> None:
    body = bytes(body_bytes)
    content = body if declared else in_pieces(body)
    headers = {"Content-Type": content_type}
    answer = await gateway.http.post("/v1/segment", content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert f"the limit is {LIMIT}" in answer.json()["detail"]
    assert "FCNSERVE_MAX_BODY_BYTES" in answer.json()["detail"]
    assert (await gateway.segment()).status_code == 200  # the connection pool is sound


async def test_a_body_of_exactly_the_limit_is_read(gateway: Gateway) -> None:
    body = CAT + bytes(LIMIT - len(CAT))  # a JPEG has an end marker
    assert (await gateway.segment(body)).status_code == 200
    assert (await gateway.segment(body + b"\0")).status_code == 413


async def test_all_of_a_chunked_photo_is_read(gateway: Gateway) -> None:
    headers = {"Content-Type": "image/jpeg"}
    answer = await gateway.http.post("/v1/segment", content=in_pieces(CAT, 999), headers=headers)
    assert answer.status_code == 200
    assert gateway.torchserve.photos[0].body == CAT


async def test_a_client_that_expects_100_continue_is_refused_before_it_sends(
    gateway: Gateway,
) -> None:
    head = (
        "POST /v1/segment HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: image/png\r\n"
    )
    request = f"{head}Content-Length: {LIMIT + 1}\r\nExpect: 100-continue\r\n\r\n"
    answer = await gateway.raw(request.encode())
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in answer


async def test_reading_stops_at_the_limit() -> None:
    received = 0

    async def receive() -> dict[str, object]:
        nonlocal received
        received += 1000
        return {"type": "http.request", "body": bytes(1000), "more_body": True}

    request = request_of([(b"content-type", b"image/png")], receive)
    budget = budget_of(max_bytes=1_000_000)
    with pytest.raises(BodyTooLargeError), budget.arriving(Deadline(math.inf, "")) as arriving:
        await read_body(request, 10_000, arriving)
    assert received == 11_000


@pytest.mark.parametrize(
    "length", [b"abc", b"-5", b"1e3", b"12,12", b"12 12", b"0x10", b"9" * 30, b"9" * 5000, b"\xb2"]
)
async def test_a_content_length_that_is_not_a_number_is_refused(
    gateway: Gateway, length: bytes
) -> None:
    head = b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: "
    answer = await gateway.raw(head + length + b"\r\n\r\n" + CAT)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert gateway.in_flight == 0


@pytest.mark.parametrize("length", [b"abc", b"", b"\xb2", b"9" * 5000])
def test_a_bad_content_length_behind_another_server_is_ignored(length: bytes) -> None:
    assert declared_body_bytes(request_of([(b"content-length", length)], None), LIMIT) == 0


async def test_a_client_that_disconnects_is_not_an_error(gateway: Gateway) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
    await until(lambda: gateway.value("fcnserve_bytes_reading") == 4)
    assert gateway.in_flight == 0
    writer.close()
    await until(lambda: gateway.value("fcnserve_bodies_reading") == 0)
    disconnected = {"route": "/v1/segment", "status": "499", "code": ""}
    assert gateway.value("fcnserve_requests_total", **disconnected) == 1


def request_of(headers: list[tuple[bytes, bytes]], receive: object) -> Request:
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)  # type: ignore[arg-type]  # a plain coroutine does


async def test_a_form_made_by_httpx_is_read(gateway: Gateway) -> None:
    answer: httpx.Response = await gateway.http.post(
        "/v1/segment", files={"image": ("cat.jpg", CAT, "image/jpeg")}
    )
    assert answer.status_code == 200
    assert gateway.torchserve.photos[0].body == CAT
