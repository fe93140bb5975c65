"""Every kind of bad request gets its code, and does not affect the next request."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from handlers.shared.errors import ProblemError
from tests.integration.reading import problem
from tests.support.photos import BROKEN, jpeg, photo
from tests.support.server import CAT, Server

BODY_LIMIT = 20_000_000
PNG = {"Content-Type": "image/png"}


@dataclass(frozen=True)
class BadRequest:
    """A request, and the status and code of its answer."""

    status: int
    code: str
    body: bytes = CAT.read_bytes()
    headers: dict[str, str] = field(default_factory=dict)
    query: str = ""


def as_json(body: bytes, status: int, code: str) -> BadRequest:
    return BadRequest(status, code, body, {"Content-Type": "application/json"})


def as_form(body: bytes, status: int = 400, code: str = "bad_multipart") -> BadRequest:
    return BadRequest(status, code, body, {"Content-Type": "multipart/form-data; boundary=b"})


def option(query: str) -> BadRequest:
    return BadRequest(422, "invalid_option", query=query)


def part(name: str, body: bytes = b"x") -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="f"\r\n\r\n'
    return head.encode() + body + b"\r\n"


def base64_of(body: bytes) -> bytes:
    return json.dumps({"image": base64.b64encode(body).decode()}).encode()


BAD = {
    "media-type": BadRequest(
        415, "unsupported_content_type", headers={"Content-Type": "text/plain; charset=utf-8"}
    ),
    "accept-html": BadRequest(406, "not_acceptable", headers={"Accept": "text/html"}),
    "json-empty": as_json(b"", 400, "bad_json"),
    "json-not": as_json(b"{'image': 1}", 400, "bad_json"),
    "json-list": as_json(b"[]", 400, "bad_json"),
    "json-other-key": as_json(b'{"image": "", "url": "http://localhost/"}', 400, "bad_json"),
    "json-nested-100000-deep": as_json(b'{"image": ' + b"[" * 100_000, 400, "bad_json"),
    "json-not-utf-8": as_json(b'{"image": "\xff"}', 400, "bad_json"),
    "base64-characters": as_json(b'{"image": "/9j/!!!!"}', 400, "bad_base64"),
    "base64-padding": as_json(b'{"image": "/9j/4"}', 400, "bad_base64"),
    "base64-beyond-ascii": as_json('{"image": "é"}'.encode(), 400, "bad_base64"),
    "base64-empty": as_json(b'{"image": ""}', 400, "empty_body"),
    "base64-of-text": as_json(base64_of(b"no photo"), 400, "broken_image"),
    "form-empty": as_form(b""),
    "form-without-end": as_form(part("image")),
    "form-other-field": as_form(part("photo") + b"--b--\r\n"),
    "form-two-files": as_form(part("image") * 2 + b"--b--\r\n"),
    "form-of-text": as_form(part("image", b"no photo") + b"--b--\r\n", 400, "broken_image"),
    "form-without-boundary": BadRequest(
        400, "bad_multipart", headers={"Content-Type": "multipart/form-data"}
    ),
    "option-unknown": option("colour=red"),
    "option-twice-unknown": option("outputs=mask"),
    "output-unknown": option("output=video"),
    "alpha-too-large": option("output=overlay&alpha=1.01"),
    "alpha-nan": option("output=overlay&alpha=nan"),
    "min-area-negative": option("min_area=-1"),
    "min-area-no-number": option("min_area=many"),
    "max-side-too-small": option("max_side=31"),
    "max-side-above-the-cards-limit": option("max_side=2049"),
    "orientation-unknown": option("orientation=sideways"),
    "timeout-zero": option("timeout_ms=0"),
    "classes-unknown": option("classes=cat,unicorn"),
    "classes-id-too-large": option("classes=21"),
    "classes-with-a-line-break": option("classes=cat%0d%0aX-Evil:1"),
    "model-unknown": BadRequest(404, "model_not_found", query="model=fcn8s-vgg999"),
    "deadline-shorter-than-the-network": BadRequest(
        504, "deadline_exceeded", jpeg(photo(2048, 2048)), query="max_side=2048&timeout_ms=40"
    ),
    "body-over-the-limit": BadRequest(413, "body_too_large", bytes(BODY_LIMIT + 1)),
}


@pytest.fixture(scope="module")
def good(server: Server) -> tuple[bytes, bytes]:
    """A photo and its mask."""
    body = jpeg()
    return body, server.segment(body)


@pytest.fixture(autouse=True)
def _answers_good_photos_afterwards(server: Server, good: tuple[bytes, bytes]) -> Iterator[None]:
    yield
    body, mask = good
    assert server.segment(body) == mask


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_photo_gets_its_code(server: Server, name: str) -> None:
    body, error = BROKEN[name]
    response = server.post_photo(body)
    assert response.headers["Content-Type"] == "application/problem+json"
    found = problem(response.content)
    assert (found["status"], found["code"]) == (error.status, error.code)
    assert response.status_code == error.status


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_gets_its_code(server: Server, name: str) -> None:
    bad = BAD[name]
    response = server.client.post(f"/v1/segment?{bad.query}", content=bad.body, headers=bad.headers)
    found = problem(response.content)
    assert (response.status_code, found["code"]) == (bad.status, bad.code), found
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["X-Request-ID"]


def test_a_body_over_the_limit_is_refused_without_content_length(server: Server) -> None:
    chunks = (bytes(1_000_000) for _ in range(BODY_LIMIT // 1_000_000 + 1))
    response = server.client.post("/v1/segment", content=chunks, headers=PNG)
    assert problem(response.content)["code"] == "body_too_large"


def test_a_body_at_the_limit_is_read(server: Server, cat: bytes, cat_mask: bytes) -> None:
    padded = cat + bytes(BODY_LIMIT - len(cat))
    assert server.segment(padded) == cat_mask


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/v1/segment", "method_not_allowed"),
        ("POST", "/v1/segments", "not_found"),
        ("GET", "/v1/models/none", "model_not_found"),
        ("POST", "/predictions/fcn8s-lite2", "not_found"),
        ("GET", "/models", "not_found"),
    ],
)
def test_an_unknown_route_gets_a_problem_document(
    server: Server, method: str, path: str, code: str
) -> None:
    assert problem(server.client.request(method, path).content)["code"] == code


def test_every_code_of_a_broken_photo_has_its_own_class() -> None:
    kinds = {error for _, error in BROKEN.values()}
    assert kinds < set(ProblemError.__subclasses__())
