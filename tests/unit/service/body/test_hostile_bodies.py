"""Bodies that are costly to parse: refused soon, without blocking the event loop. And no URL is
fetched."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from starlette.datastructures import Headers

from handlers.shared.errors import ProblemError
from service.body.json_image import MAX_JSON_MARKS, read_json
from service.body.multipart import IMAGES, ONE_IMAGE, FormLimits, read_form
from tests.support.fakes import CAT, Gateway, running

BODY_BYTES = 20_000_000
# of processor time; 20 ms are usual, and the defects looked for here take seconds
MAX_STALL_S = 0.5


@dataclass(frozen=True)
class Filled:
    """A body of about BODY_BYTES, made when it is needed."""

    piece: bytes
    before: bytes = b""
    after: bytes = b""

    def body(self) -> bytes:
        room = BODY_BYTES - len(self.before) - len(self.after)
        return self.before + self.piece * (room // len(self.piece)) + self.after


HEAD = b'--b\r\nContent-Disposition: form-data; name="image"; filename="f"\r\n'
FILE = HEAD + b"\r\n"
FIELD = b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\nx\r\n'
END = b"\r\n--b--\r\n"


async def code_of(answer: Awaitable[object]) -> str:
    """Return the code of the problem that reading a body ends in; the event loop is not blocked."""
    longest_s = 0.0

    async def tick() -> None:
        nonlocal longest_s
        last_s = time.thread_time()  # of this thread's work: the machine may have other
        while True:
            await asyncio.sleep(0)
            now_s = time.thread_time()
            longest_s, last_s = max(longest_s, now_s - last_s), now_s

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0)
    try:
        await answer
    except ProblemError as problem:
        return problem.code
    else:
        return "read"
    finally:
        await asyncio.sleep(0)
        ticking.cancel()
        assert longest_s < MAX_STALL_S


async def form_code(body: bytes, boundary: str = "b", limits: FormLimits = ONE_IMAGE) -> str:
    headers = Headers({"content-type": f"multipart/form-data; boundary={boundary}"})
    return await code_of(read_form(headers, body, limits))


@pytest.mark.parametrize(
    ("filled", "code"),
    [
        pytest.param(Filled(b"--b\r\n"), "bad_multipart", id="boundaries"),
        pytest.param(Filled(b"\r\n--c", FILE), "bad_multipart", id="half-boundaries"),
        pytest.param(Filled(b"\r\n--", FILE, END), "read", id="almost-boundaries"),
        pytest.param(Filled(b"\r", FILE, END), "read", id="line-ends"),
        pytest.param(Filled(b"-", FILE, END), "read", id="dashes"),
        pytest.param(Filled(b"x\r\n"), "bad_multipart", id="preamble"),
        pytest.param(Filled(b" ", b"--b"), "bad_multipart", id="blanks"),
        pytest.param(Filled(b"--b \r\n"), "bad_multipart", id="boundaries-and-blanks"),
        pytest.param(
            Filled(b"\r\n--b !", FILE, END), "bad_multipart", id="boundary-and-blank-and-more"
        ),
        pytest.param(Filled(b"\r\n--b", FILE + b"x" + END), "read", id="epilogue"),
        pytest.param(Filled(b"A: b\r\n", HEAD), "bad_multipart", id="header-lines"),
        pytest.param(Filled(b"x", HEAD + b"A: "), "bad_multipart", id="endless-header"),
        pytest.param(Filled(b"A", HEAD), "bad_multipart", id="endless-header-name"),
        pytest.param(Filled(b"; a=b", HEAD[:-2]), "bad_multipart", id="header-parameters"),
        pytest.param(Filled(FILE + b"x\r\n"), "bad_multipart", id="files"),
        pytest.param(Filled(FIELD), "bad_multipart", id="fields"),
        pytest.param(Filled(b"x", FIELD[:-3]), "bad_multipart", id="endless-field"),
    ],
)
async def test_a_form_of_20_mb_does_not_block_the_event_loop(filled: Filled, code: str) -> None:
    assert await form_code(filled.body()) == code


@pytest.mark.parametrize(
    ("head", "code"),
    [
        pytest.param(HEAD + b"A: b\r\n" * 7 + b"\r\n", "read", id="eight-headers"),
        pytest.param(HEAD + b"A: b\r\n" * 8 + b"\r\n", "bad_multipart", id="nine-headers"),
        pytest.param(HEAD + b"A: " + b"b" * 4000 + b"\r\n\r\n", "read", id="long"),
        pytest.param(HEAD + b"A: " + b"b" * 4300 + b"\r\n\r\n", "bad_multipart", id="longer"),
    ],
)
async def test_the_headers_of_a_part_have_limits(head: bytes, code: str) -> None:
    assert await form_code(head + b"x" + END) == code


@pytest.mark.parametrize(("length", "code"), [(256, "read"), (257, "bad_multipart")])
async def test_a_boundary_has_a_limit(length: int, code: str) -> None:
    boundary = "b" * length
    assert (
        await form_code((FILE + b"x" + END).replace(b"--b", b"--" + boundary.encode()), boundary)
        == code
    )


async def test_a_long_boundary_is_searched_fast() -> None:
    boundary = "a" * 200
    head = FILE.replace(b"--b", b"--" + boundary.encode())
    near = b"\r\n--" + b"a" * 199 + b"!"
    assert await form_code(Filled(near, head).body(), boundary) == "bad_multipart"


async def test_a_form_in_a_form_is_a_file_that_is_not_an_image() -> None:
    inner = b"--c\r\n" * 1000
    nested = HEAD + b"Content-Type: multipart/mixed; boundary=c\r\n\r\n" + inner + END
    async with running() as gateway:
        answer = await gateway.segment(nested, content_type="multipart/form-data; boundary=b")
        assert answer.json()["code"] == "broken_image"


async def test_a_batch_of_100_mb_does_not_block_the_event_loop() -> None:
    file = FILE.replace(b'"image"', b'"images"') + bytes(3_000_000) + b"\r\n"
    assert await form_code(file * 32 + b"--b--\r\n", limits=IMAGES) == "read"


@pytest.mark.parametrize(
    ("filled", "code"),
    [
        pytest.param(Filled(b"A", b'{"image":"', b'"}'), "read", id="one-string"),
        pytest.param(Filled(b"["), "bad_json", id="lists"),
        pytest.param(Filled(b'{"image":'), "bad_json", id="objects"),
        pytest.param(Filled(b'"":1,', b"{"), "bad_json", id="same-keys"),
        pytest.param(Filled(b"1,", b"["), "bad_json", id="numbers"),
        pytest.param(Filled(b"{},", b'{"image":['), "bad_json", id="empty-objects"),
        pytest.param(Filled(b"9", b'{"image":', b"}"), "bad_json", id="endless-number"),
        pytest.param(Filled(b"\\u0041", b'{"image":"', b'"}'), "read", id="escapes"),
        pytest.param(Filled(b"\xff", b'{"image":"', b'"}'), "bad_json", id="not-utf-8"),
        pytest.param(Filled(b" "), "bad_json", id="blanks"),
        pytest.param(Filled(b"=", b'{"image":"', b'"}'), "bad_base64", id="paddings"),
    ],
)
async def test_json_of_20_mb_does_not_block_the_event_loop(filled: Filled, code: str) -> None:
    assert await code_of(read_json(filled.body())) == code


async def test_two_million_keys_are_refused_before_they_are_parsed() -> None:
    keys = b",".join(b'"%07x":1' % number for number in range(BODY_BYTES // 11))
    assert await code_of(read_json(b"{" + keys + b"}")) == "bad_json"


def test_a_few_wrong_keys_get_the_validation_error() -> None:
    few = {str(number): 1 for number in range(MAX_JSON_MARKS // 4)}
    with pytest.raises(ProblemError, match="Field required"):
        asyncio.run(read_json(json.dumps(few).encode()))


@asynccontextmanager
async def target() -> AsyncIterator[tuple[str, list[str]]]:
    """Run a server that nothing should request: yield its URL and the requests it gets."""
    requests: list[str] = []

    async def serve(request: web.Request) -> web.Response:
        requests.append(request.path)
        return web.Response(body=CAT, content_type="image/jpeg")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", serve)
    async with TestServer(app) as server:
        yield f"http://127.0.0.1:{server.port}/cat.jpg", requests


async def send_urls(gateway: Gateway, url: str) -> list[int]:
    """Send a URL in each place of a request that may hold one."""
    text = url.encode()
    as_json = {"Content-Type": "application/json"}
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    headers = {"X-Forwarded-Host": url, "Referer": url, "Origin": url, "X-Request-ID": url}
    svg = f'<svg xmlns:x="{url}"><image href="{url}"/></svg>'.encode()
    answers = [
        await gateway.segment(text),
        await gateway.segment(svg, content_type="image/svg+xml"),
        await gateway.segment(json.dumps({"image": url}).encode(), headers=as_json),
        await gateway.segment(json.dumps({"url": url}).encode(), headers=as_json),
        await gateway.segment(base64.b64encode(text), headers=as_json),
        await gateway.segment(FILE.replace(b'"f"', b'"' + text + b'"') + text + END, headers=form),
        await gateway.segment(text, content_type=f'message/external-body; URL="{url}"'),
        await gateway.segment(CAT, headers=headers | {"Content-Location": url}),
        *[
            await gateway.segment(**{option: url})
            for option in ("model", "classes", "output", "url")
        ],
        await gateway.http.get("/v1/models/" + url),
    ]
    return [answer.status_code for answer in answers]


async def test_no_url_is_fetched_wherever_it_is_put() -> None:
    async with target() as (url, requests), running() as gateway:
        statuses = await send_urls(gateway, url)
        assert [status for status in statuses if status == 200] == [200]  # the photo, with headers
        assert max(statuses) < 500
        assert requests == []


async def test_a_url_instead_of_base64_is_bad_base64() -> None:
    async with running() as gateway:
        body = b'{"image": "http://127.0.0.1/cat.jpg"}'
        answer = await gateway.segment(body, content_type="application/json")
        assert answer.json()["code"] == "bad_base64"
