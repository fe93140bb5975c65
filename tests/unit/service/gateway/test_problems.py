"""Every problem code of the gateway, provoked, and what each answer must contain."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

import service.errors  # noqa: F401 - fills ProblemError's family
from handlers.isolation.suspects import DeathRecord
from handlers.shared.errors import ProblemError, WorkerFailedError, WorkerOutOfMemoryError
from tests.support import photos
from tests.support.fakes import CAT, FakeTorchServe, Gateway, running, until

PROBLEM = "application/problem+json"
REFUSES = "http://127.0.0.1:1"  # a closed port
KINDS = {kind.code: kind for kind in ProblemError.__subclasses__()}

Scenario = Callable[[Gateway], Awaitable[httpx.Response]]


@dataclass(frozen=True)
class Case:
    """A request, or several, the code of the answer, and patterns of its detail."""

    id: str
    code: str
    send: Scenario
    detail: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    photos: int = 0  # that reached the worker


def photo(body: bytes = CAT, **options: Any) -> Scenario:
    return lambda gateway: gateway.segment(body, **options)


def call(method: str, path: str) -> Scenario:
    return lambda gateway: gateway.http.request(method, path)


def with_fault(choose: Callable[[FakeTorchServe], Any], **options: Any) -> Scenario:
    async def send(gateway: Gateway) -> httpx.Response:
        await gateway.ready()
        gateway.torchserve.fault = choose(gateway.torchserve)
        return await gateway.segment(**options)

    return send


async def one_too_many(gateway: Gateway) -> httpx.Response:
    await gateway.ready()
    gateway.torchserve.fault = gateway.torchserve.hangs
    async with asyncio.TaskGroup() as group:
        group.create_task(gateway.segment())
        await until(lambda: gateway.in_flight == 1)
        answer = await gateway.segment()
        gateway.torchserve.released.set()
    return answer


def crash_problem(**deaths_alone: int) -> ProblemError:
    """Return the worker's problem for an image at which two processes have died."""
    found = DeathRecord(0.0, deaths=2, allowed_s=4.0, **deaths_alone).refusal
    assert found
    return found


def raw(request: bytes) -> Scenario:
    return lambda gateway: answer_to(gateway, request)


async def answer_to(gateway: Gateway, request: bytes) -> httpx.Response:
    answer = await gateway.raw(request)  # returns since the gateway closes
    top, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = top.decode().split("\r\n")
    headers = [tuple(line.split(": ", 1)) for line in lines]
    return httpx.Response(int(status.split()[1]), headers=headers, content=body)  # type: ignore[arg-type]  # pairs


async def one_connection_too_many(gateway: Gateway) -> httpx.Response:
    await gateway.ready()
    gateway.torchserve.fault = gateway.torchserve.hangs
    async with asyncio.TaskGroup() as group:
        group.create_task(gateway.segment())
        await until(lambda: gateway.torchserve.busy)
        answer = await gateway.http.get("/livez")
        gateway.torchserve.released.set()
    return answer


async def draining(gateway: Gateway) -> httpx.Response:
    await gateway.ready()
    gateway.server.drain()
    return await gateway.http.get("/readyz")


HALF_A_BODY = (
    b"POST /v1/segment?timeout_ms=50 HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nhalf"
)

CASES = [
    Case("tls", "bad_http", raw(b"\x16\x03\x01\0"), ("no HTTP/1.1", "send one")),
    Case(
        "gzip-for-transfer",
        "unsupported_transfer_coding",
        raw(b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
        ("'gzip, chunked'", "Content-Length", "chunked"),
    ),
    Case(
        "slow-head",
        "read_timeout",
        raw(b"GET"),
        ("no whole request head within 0.5 s", "FCNSERVE_HEADER_TIMEOUT_S"),
        settings={"header_timeout_s": 0.5},
    ),
    Case(
        "long-header",
        "headers_too_large",
        photo(headers={"X-Long": "x" * 32_768}),
        ("have 32[0-9]{3} bytes or more", "the limit is 32768", "send fewer"),
    ),
    Case(
        "one-connection-too-many",
        "too_many_connections",
        one_connection_too_many,
        ("1 connections are open", "limit is 1", "Retry-After", "FCNSERVE_MAX_CONNECTIONS"),
        settings={"max_connections": 1},
        photos=1,
    ),
    Case("stopping", "draining", draining, ("about to stop", "to another")),
    Case("no-body", "empty_body", photo(b""), ("is empty", "send the bytes")),
    Case("text", "broken_image", photo(b"hello"), ("68 65 6c 6c 6f", "send .* image file")),
    Case(
        "tiff",
        "unsupported_media_type",
        photo(b"II*\0" + bytes(99)),
        ("tiff", "bmp, jpeg, png, webp", "convert it"),
    ),
    Case(
        "bomb",
        "too_many_pixels",
        photo(photos.png_bomb()),
        ("50000x50000", "32000000", "downscale it", "FCNSERVE_MAX_PIXELS"),
    ),
    Case(
        "one-pixel-too-many",
        "too_many_pixels",
        photo(),
        ("451x300", "135299", "downscale"),
        settings={"max_pixels": 451 * 300 - 1},
    ),
    Case(
        "long-side",
        "side_too_long",
        photo(photos.BROKEN["png-wide"][0]),
        ("65501x1", "longer than 65500", "downscale it"),
    ),
    Case("bad-form", "bad_multipart", photo(content_type="multipart/form-data"), ('"image"',)),
    Case(
        "bad-coding",
        "bad_content_encoding",
        photo(headers={"Content-Encoding": "gzip"}),
        ("no whole gzip data", "leave the header out"),
    ),
    Case(
        "odd-coding",
        "unsupported_content_encoding",
        photo(headers={"Content-Encoding": "br"}),
        ("'br'", "gzip or deflate"),
    ),
    Case("bad-json", "bad_json", photo(b"[]", content_type="application/json"), ('"image": "<b',)),
    Case(
        "bad-base64",
        "bad_base64",
        photo(b'{"image":"?"}', content_type="application/json"),
        ("not base64", "RFC 4648"),
    ),
    Case("no-route", "not_found", call("GET", "/v2/segment"), ("'/v2/segment'", "/docs")),
    Case(
        "odd-route",
        "not_found",
        call("GET", "/%F0%9F%90%B1%00" + "x" * 999),
        (r"\\U0001f431\\x00",),
    ),
    Case("static", "not_found", call("GET", "/static-offline-docs/../../x"), ("/docs",)),
    Case(
        "no-model",
        "model_not_found",
        photo(model="resnet"),
        ("'resnet'", "this server has fcn8s-lite2"),
    ),
    Case(
        "no-card", "model_not_found", call("GET", "/v1/models/x"), ("'x'", "this server has fcn8s")
    ),
    Case(
        "get", "method_not_allowed", call("GET", "/v1/segment"), ("does not take GET", "takes POST")
    ),
    Case(
        "delete",
        "method_not_allowed",
        call("DELETE", "/v1/models"),
        ("does not take DELETE", "GET"),
    ),
    Case(
        "html",
        "not_acceptable",
        photo(headers={"Accept": "text/html"}),
        ("'text/html'", "image/png, image/jpeg", "leave it out"),
    ),
    Case(
        "slow-sender",
        "read_timeout",
        raw(HALF_A_BODY),
        ("no whole body within 50 ms", "timeout_ms"),
    ),
    Case(
        "long-body",
        "body_too_large",
        photo(),
        ("35042 bytes", "the limit is 1000", "FCNSERVE_MAX_BODY_BYTES"),
        settings={"max_body_bytes": 1000},
    ),
    Case(
        "costly",
        "too_costly",
        photo(),
        ("takes about 0.1 s of computing", "the limit is 0.0 s", "FCNSERVE_MAX_IMAGE_SECONDS"),
        settings={"max_image_seconds": 0.01},
    ),
    Case(
        "33-images",
        "too_many_images",
        lambda gateway: gateway.http.post("/v1/segment/batch", files=[("images", CAT)] * 33),
        ("more than 32 files", "send the others"),
    ),
    Case(
        "lost",
        "worker_crashed",
        with_fault(lambda torchserve: torchserve.hangs),
        ("not answered within 0.2 s", "is lost", "try again", "FCNSERVE_ATTEMPT_TIMEOUT_S"),
        settings={"attempt_timeout_s": 0.2, "restart_wait_s": 0},
        photos=1,
    ),
    Case(
        "text-type",
        "unsupported_content_type",
        photo(content_type="text/plain"),
        ("'text/plain'", "image/\\*", "application/json"),
    ),
    Case("unknown-option", "invalid_option", photo(ouput="mask"), ("'ouput': unknown", "/docs")),
    Case(
        "unknown-output",
        "invalid_option",
        photo(output="rel"),
        ("output: .*'mask'.*'rle'", "'rel'"),
    ),
    Case("nan", "invalid_option", photo(alpha="nan"), ("alpha: .*", "got 'nan'")),
    Case("too-opaque", "invalid_option", photo(alpha="1.5"), ("less than or equal to 1", "'1.5'")),
    Case("no-class", "invalid_option", photo(classes="unicorn"), ("'unicorn'", "cat", "0 to 20")),
    Case(
        "max-side-of-model",
        "invalid_option",
        photo(max_side="2049"),
        ("2049", "limit of fcn8s-lite2, 2048", "ask for less"),
    ),
    Case(
        "too-patient",
        "invalid_option",
        photo(timeout_ms="120001"),
        ("120001", "120000", "FCNSERVE_MAX_TIMEOUT_MS"),
    ),
    Case("endless-number", "invalid_option", photo(timeout_ms="9" * 4000), ("above the limit",)),
    Case(
        "many-options",
        "invalid_option",
        photo(CAT, **{f"\n{i}" + "x" * 200: "1" for i in range(50)}),
        ("unknown option", "and 45 more"),
    ),
    Case(
        "one-too-many",
        "busy",
        one_too_many,
        ("1 requests are in flight", "limit is 1", "Retry-After", "FCNSERVE_MAX_IN_FLIGHT"),
        settings={"max_in_flight": 1},
        photos=1,
    ),
    Case(
        "junk-mask",
        "internal_error",
        with_fault(lambda torchserve: torchserve.raw_mask(b"junk"), output="summary"),
        ("its log has the reason",),
        photos=1,
    ),
    Case(
        "crash",
        "worker_crashed",
        with_fault(lambda torchserve: torchserve.own_error(507)),
        ("crashed while it had this image", "try again"),
        photos=5,
    ),
    Case(
        "crasher",
        "image_crashes_worker",
        with_fault(lambda torchserve: torchserve.image_problem(crash_problem(crashed=1))),
        ("2 so far", "nothing beside it", "save it again", "smaller"),
        photos=1,
    ),
    Case(
        "slow",
        "image_takes_too_long",
        with_fault(lambda torchserve: torchserve.image_problem(crash_problem(out_of_time=1))),
        ("more than the 4 CPU seconds", "max_side", "another format"),
        photos=1,
    ),
    Case(
        "hangs-up",
        "worker_crashed",
        with_fault(lambda torchserve: torchserve.hangs_up),
        ("connection to the worker broke", "try again"),
        photos=6,  # the first over a connection that might have been closed for long
    ),
    Case(
        "breaks-off",
        "worker_crashed",
        with_fault(lambda torchserve: torchserve.breaks_off),
        ("connection to the worker broke", "try again"),
        photos=5,
    ),
    Case(
        "no-worker",
        "not_ready",
        with_fault(lambda torchserve: torchserve.own_error(503)),
        ("no worker", "try again"),
        settings={"restart_wait_s": 0},
        photos=1,
    ),
    Case(
        "a-model-left-out",
        "not_ready",
        with_fault(lambda torchserve: torchserve.own_error(404)),
        ("was left out", "choose another with model="),
        settings={"restart_wait_s": 0},
        photos=1,
    ),
    Case(
        "refuses",
        "not_ready",
        photo(),
        ("starting or gone", "try again"),
        settings={"torchserve_url": REFUSES},
    ),
    Case(
        "probe",
        "not_ready",
        call("GET", "/readyz"),
        ("no worker has answered", "try again"),
        settings={"torchserve_url": REFUSES},
    ),
    Case(
        "cards-of-none",
        "not_ready",
        call("GET", "/v1/models"),
        ("starting or gone",),
        settings={"torchserve_url": REFUSES},
    ),
    Case(
        "late",
        "deadline_exceeded",
        with_fault(lambda torchserve: torchserve.hangs, timeout_ms=500),
        ("no mask within 500 ms", "timeout_ms"),
        photos=1,
    ),
    Case(
        "memory",
        "out_of_memory",
        with_fault(
            lambda torchserve: torchserve.image_problem(WorkerOutOfMemoryError("send it smaller"))
        ),
        ("^send it smaller$",),
        photos=1,
    ),
    Case(
        "defect",
        "worker_failed",
        with_fault(
            lambda torchserve: torchserve.image_problem(WorkerFailedError("its log has it"))
        ),
        ("^its log has it$",),
        photos=1,
    ),
    Case(
        "other-release",
        "worker_failed",
        with_fault(lambda torchserve: torchserve.raw_report(b"{}")),
        ("report", "same release"),
        photos=1,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}-{case.id}")
async def test_a_problem_names_the_value_the_limit_and_the_remedy(case: Case) -> None:
    async with running(**case.settings) as gateway:
        answer = await case.send(gateway)
        counted = [
            sample.labels
            for metric in gateway.registry.collect()
            for sample in metric.samples
            if sample.name == "fcnserve_requests_total" and sample.labels["code"]
        ]
        assert gateway.in_flight == 0
        assert len(gateway.torchserve.photos) == case.photos
    kind, problem = KINDS[case.code], answer.json()
    assert answer.headers["content-type"] == PROBLEM
    assert problem.keys() == {"type", "title", "status", "code", "detail"}
    assert (answer.status_code, problem["status"]) == (kind.status, kind.status)
    assert (problem["code"], problem["title"]) == (case.code, kind.title)
    for words in case.detail:
        assert re.search(words, problem["detail"]), problem["detail"]
    assert problem["detail"].isascii()
    assert len(problem["detail"]) < 1000
    assert [(labels["status"], labels["code"]) for labels in counted] == [
        (str(kind.status), case.code)
    ]
    assert not {"set-cookie", "cache-control", "pragma", "expires"} & set(answer.headers)
    assert ("retry-after" in answer.headers) == (kind.status in {429, 503})
    assert ("allow" in answer.headers) == (kind.status == 405)
    request_id = answer.headers["x-request-id"]
    logged = [line for line in gateway.logs if line.get("request_id") == request_id]
    if case.id not in {"probe", "stopping"}:
        assert logged[-1]["code"] == case.code
    assert [line["log_level"] for line in logged].count("error") == (case.code == "internal_error")


def test_each_code_has_a_case() -> None:
    with_keys = {"unauthorized", "rate_limited"}  # tests/unit/service/auth/test_authenticator.py
    assert {case.code for case in CASES} == set(KINDS) - with_keys


@pytest.mark.parametrize("name", photos.BROKEN)
async def test_a_broken_header_is_found_before_the_worker_gets_the_image(name: str) -> None:
    """The worker finds what is broken behind the header; the fake finds nothing."""
    body, kind = photos.BROKEN[name]
    async with running(max_pixels=photos.MAX_PIXELS) as gateway:
        answer = await gateway.segment(body)
        reached = [call.body for call in gateway.torchserve.photos]
        assert gateway.in_flight == 0
    if answer.status_code == 200:
        assert reached == [body]
    else:
        assert (answer.status_code, answer.json()["code"]) == (kind.status, kind.code)
        assert reached == []


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS.values() if kind.__module__ == "handlers.shared.errors"]
)
async def test_the_workers_problems_are_passed_on_unchanged(kind: type[ProblemError]) -> None:
    async with running() as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.image_problem(kind("as the worker wrote"))
        answer = await gateway.segment()
        assert answer.status_code == kind.status
        assert answer.json() == kind("as the worker wrote").problem()
        assert gateway.components.health.is_ready()
