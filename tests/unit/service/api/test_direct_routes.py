"""A request for masks gets the same answer from `DirectRoutes` as from FastAPI's routes."""

import asyncio
import base64
import gzip
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Message

from handlers.shared.errors import BrokenImageError
from service.api.direct_routes import ANSWERS, DirectRoutes, answer_for
from service.api.telemetry import Telemetry
from service.app import create_app
from service.auth.keys import make_key
from service.metrics.requests import RequestMetrics
from service.pipeline.admit import AdmitStep
from service.pipeline.query import SegmentQuery
from service.settings import Settings
from tests.support import photos
from tests.support.fakes import FakeTorchServe, Fault, Gateway, routes_of, running

PHOTO = photos.jpeg(Image.fromarray(photos.photo(30, 40)))
SECRET, KEY = make_key("camera-7")
FORM = b"--b\r\nContent-Disposition: form-data; name=%b; filename=x\r\n\r\n%b\r\n--b--\r\n"
IMAGE, IMAGES = FORM % (b"image", PHOTO), FORM % (b"images", PHOTO)
JSON = json.dumps({"image": base64.b64encode(PHOTO).decode()}).encode()
FORM_TYPE = (b"content-type", b"multipart/form-data; boundary=b")
BODIES = [PHOTO, gzip.compress(PHOTO), IMAGE, IMAGES, JSON, b"", b"junk", PHOTO[:99]]
# what differs between any two answers: stage times, and a batch's boundary with what depends on it
TIMES = re.compile(rb"dur=[0-9.]+")
BOUNDARY = re.compile(rb"[0-9a-f]{32}")
OF_BOUNDARY = {b"content-digest", b"content-length"}


@dataclass(frozen=True)
class Sent:
    """One request."""

    query: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ((b"content-type", b"image/jpeg"),)
    body: bytes = PHOTO
    path: str = "/v1/segment"
    method: str = "POST"
    root_path: str = ""

    def scope(self) -> dict[str, Any]:
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": "http",
            "path": self.path,
            "raw_path": quote(self.path).encode(),
            "root_path": self.root_path,
            "query_string": self.query,
            "headers": [*self.headers, (b"x-request-id", b"one")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
            "state": {},
        }


@dataclass
class Answered:
    """All that a request causes: the answer, its log line, and what the worker got."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    logged: list[dict[str, object]]
    worker: list[tuple[str, bytes, dict[str, object]]]


@dataclass
class Pair:
    """Both ways to answer, of one gateway."""

    gateway: Gateway
    direct: DirectRoutes
    observed: RequestMetrics = field(default_factory=lambda: RequestMetrics(CollectorRegistry()))

    async def answers(self, sent: Sent) -> tuple[Answered, Answered]:
        return await self.answer(self.direct, sent), await self.answer(self.direct.app, sent)

    async def answer(self, app: ASGIApp, sent: Sent) -> Answered:
        """Send a request to one of both, and note what it causes."""
        messages: list[Message] = []
        received = False

        async def receive() -> Message:
            nonlocal received
            if received:
                await asyncio.Event().wait()  # until the task is cancelled
            received = True
            return {"type": "http.request", "body": sent.body}

        async def send(message: Message) -> None:
            messages.append(message)

        self.gateway.logs.clear()
        self.gateway.torchserve.calls.clear()
        await Telemetry(app, self.observed)(sent.scope(), receive, send)
        start, *parts = messages
        is_batch = any(b"multipart" in value for _, value in start["headers"])
        calls = self.gateway.torchserve.photos
        return Answered(
            start["status"],
            sorted(
                (name, same(value))
                for name, value in start["headers"]
                if not (is_batch and name in OF_BOUNDARY)
            ),
            same(b"".join(part["body"] for part in parts)),
            [without_times(line) for line in self.gateway.logs],
            [(call.model, call.body, call.options) for call in calls],
        )


def same(part: bytes) -> bytes:
    return BOUNDARY.sub(b"", TIMES.sub(b"", part))


def without_times(line: Any) -> dict[str, object]:
    return {
        name: repr(value) if isinstance(value, Exception) else value
        for name, value in line.items()
        if not isinstance(value, float)
    }


def direct_of(app: Any) -> DirectRoutes:
    """Find the middleware in an application."""
    while not isinstance(app, DirectRoutes):
        app = app.app
    return app


@asynccontextmanager
async def pair(**chosen: Any) -> AsyncIterator[Pair]:
    async with running(**chosen) as gateway:
        await gateway.ready()
        yield Pair(gateway, direct_of(gateway.app))


def query_of(pairs: list[tuple[str, str]]) -> bytes:
    return "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs).encode()


values = st.one_of(
    st.sampled_from(
        [
            *("", "1", "0", "64", "0.5", "nan", "true", "9" * 5000, "exif", "stored", "é"),
            *("cat", "cat,dog", "8", "mask", "rle", "summary", "polygons", "overlay", "unknown"),
        ]
    ),
    st.text(max_size=20),
)
queries = st.one_of(
    st.just(b""),
    st.lists(
        st.tuples(st.one_of(st.sampled_from(sorted(SegmentQuery.model_fields)), st.text()), values),
        max_size=4,
    ).map(query_of),
    st.text(st.characters(codec="ascii"), max_size=40).map(str.encode),
    st.binary(max_size=20),
)
headers = st.lists(
    st.one_of(
        st.tuples(
            st.just(b"content-type"),
            st.sampled_from(
                [
                    *(b"image/jpeg", b"", b"text/plain", b"application/json", b"\xff"),
                    *(FORM_TYPE[1], b"application/x-www-form-urlencoded"),
                ]
            ),
        ),
        st.tuples(st.just(b"content-encoding"), st.sampled_from([b"gzip", b"identity", b"br"])),
        st.tuples(st.just(b"content-length"), st.sampled_from([b"9", b"99999999999", b"x"])),
        st.tuples(
            st.just(b"accept"),
            st.sampled_from([b"*/*", b"image/jpeg", b"text/html", b"application/json", b"a/b;q=x"])
            | st.binary(max_size=9),
        ),
        st.tuples(
            st.sampled_from([b"authorization", b"x-api-key"]),
            st.sampled_from([b"Bearer %b" % SECRET.encode(), SECRET.encode(), b"wrong", b"\xff"]),
        ),
        st.tuples(st.just(b"origin"), st.just(b"https://photos.example")),
    ),
    max_size=5,
).map(tuple)
paths = st.sampled_from([*ANSWERS] * 4 + ["/v1/segment/", "/v1/segment\n", "//v1/segment", "/v1"])
methods = st.sampled_from(["POST"] * 6 + ["GET", "HEAD", "PUT", "OPTIONS", "post"])
root_paths = st.sampled_from([""] * 6 + ["/v1", "/v1/segment"])
requests = st.builds(
    Sent, queries, headers, st.sampled_from(BODIES), paths, methods, root_paths
)  # most of them are refused


@pytest.mark.parametrize("has_keys", [False, True], ids=["open", "with-keys"])
async def test_both_answer_any_request_alike(has_keys: bool, tmp_path: Path) -> None:
    """One gateway answers all examples: hypothesis runs in a thread beside the event loop."""
    (tmp_path / "keys").write_text(f"{KEY.line}\n")
    chosen = {"api_keys_file": str(tmp_path / "keys")} if has_keys else {}
    loop = asyncio.get_running_loop()
    async with pair(max_body_bytes=100_000, **chosen) as both:

        @given(requests)
        @settings(max_examples=100, deadline=None)
        def compare(sent: Sent) -> None:
            answers = asyncio.run_coroutine_threadsafe(both.answers(sent), loop)
            direct, by_fastapi = answers.result(timeout=20)
            assert direct == by_fastapi

        await asyncio.to_thread(compare)


CORPUS = {
    "mask": (Sent(), 200),
    "no-content-type": (Sent(headers=()), 200),
    "form": (
        Sent(headers=(FORM_TYPE,), body=IMAGE),
        200,
    ),
    "json": (Sent(headers=((b"content-type", b"application/json"),), body=JSON), 200),
    "gzip": (Sent(headers=((b"content-encoding", b"gzip"),), body=gzip.compress(PHOTO)), 200),
    "options": (Sent(b"output=summary&classes=cat&classes=dog,8&min_area=2&max_side=64"), 200),
    "stored": (Sent(b"orientation=stored&output=confidence"), 200),
    "overlay": (Sent(b"output=overlay&alpha=0.25&legend=yes&timeout_ms=9000"), 200),
    "accept": (Sent(headers=((b"accept", b"application/json"), (b"accept", b"*/*;q=.1"))), 200),
    "batch": (
        Sent(
            headers=(FORM_TYPE,),
            body=IMAGES,
            path="/v1/segment/batch",
        ),
        200,
    ),
    "broken": (Sent(body=b"junk"), 400),
    "empty": (Sent(body=b""), 400),
    "slash": (Sent(path="/v1/segment/"), 404),
    "line-feed": (Sent(path="/v1/segment\n"), 200),
    "prefix": (Sent(path="/proxy/v1/segment", root_path="/proxy"), 200),
    "root-path": (Sent(root_path="/v1"), 404),
    "model": (Sent(b"model=resnet"), 404),
    "get": (Sent(method="GET"), 405),
    "accept-none": (Sent(headers=((b"accept", b"text/html"),)), 406),
    "long-body": (Sent(headers=((b"content-length", b"99999999"),)), 413),
    "text": (Sent(headers=((b"content-type", b"text/plain"),)), 415),
    "br": (Sent(headers=((b"content-encoding", b"br"),)), 415),
    "unknown": (Sent(b"ouput=mask"), 422),
    "unknown-twice": (Sent(b"ouput=mask&ouput=rle&%FF=1"), 422),
    "twice": (Sent(b"output=mask&output=rle"), 422),
    "twice-and-unknown": (Sent(b"nonsense=1&alpha=1&alpha=2"), 422),
    "several-errors": (Sent(b"x=1&alpha=7&min_area=-1&legend=perhaps&output=rel&timeout_ms="), 422),
    "many-errors": (Sent(b"&".join(b"x%d=1" % number for number in range(50))), 422),
    "many-classes": (Sent(b"&".join([b"classes=cat"] * 257)), 422),
    "long-class": (Sent(b"classes=" + b"c" * 4097), 422),
    "no-class": (Sent(b"classes=unicorn"), 422),
    "max-side": (Sent(b"max_side=2049"), 422),
    "timeout": (Sent(b"timeout_ms=120001"), 422),
    "blank": (Sent(b"output="), 422),
}


@pytest.mark.parametrize(("sent", "status"), CORPUS.values(), ids=CORPUS)
async def test_both_answer_alike_with_the_status(sent: Sent, status: int) -> None:
    async with pair() as both:
        direct, by_fastapi = await both.answers(sent)
        assert direct == by_fastapi
        assert direct.status == status


async def test_both_answer_an_overload_alike() -> None:
    async with pair(max_in_flight_bytes=len(PHOTO)) as both:
        admission = both.gateway.components.segmenter.read.admission
        with admission.permit("fcn8s-lite2") as permit:
            permit.add_bytes(1)
            direct, by_fastapi = await both.answers(Sent())
        assert direct == by_fastapi
        assert direct.status == 429


async def test_both_check_the_key_before_the_query(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"{KEY.line}\n")
    async with pair(api_keys_file=str(tmp_path / "keys")) as both:
        direct, by_fastapi = await both.answers(Sent(b"alpha=7&alpha=8"))
        assert direct == by_fastapi
        assert direct.status == 401


async def test_both_spend_a_keys_rate_before_they_check_the_query(tmp_path: Path) -> None:
    secrets = [make_key(name) for name in ("one", "other")]
    (tmp_path / "keys").write_text("".join(f"{key.line}\n" for _, key in secrets))
    async with pair(api_keys_file=str(tmp_path / "keys"), key_rate_per_s=0.001) as both:
        codes = []
        apps: list[ASGIApp] = [both.direct, both.direct.app]
        for app, (secret, _) in zip(apps, secrets, strict=True):
            sent = Sent(b"alpha=7", headers=((b"x-api-key", secret.encode()),))
            found = [await both.answer(app, sent) for _ in range(2)]
            codes.append([json.loads(each.body)["code"] for each in found])
        assert codes == [["invalid_option", "rate_limited"]] * 2


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (lambda torchserve: torchserve.image_problem(BrokenImageError("cut")), 400),
        (lambda torchserve: torchserve.raw_mask(b"junk"), 500),
        (lambda torchserve: torchserve.own_error(503), 503),
    ],
    ids=["problem", "defect", "no-worker"],
)
async def test_both_answer_alike_where_the_worker_fails(
    fault: Callable[[FakeTorchServe], Fault], status: int
) -> None:
    async with pair(restart_wait_s=0) as both:
        both.gateway.torchserve.fault = fault(both.gateway.torchserve)
        direct, by_fastapi = await both.answers(Sent(b"output=rle"))
        assert direct == by_fastapi
        assert direct.status == status


async def test_neither_answers_a_client_that_has_disconnected() -> None:
    async with pair() as both:
        apps: list[ASGIApp] = [both.direct, both.direct.app]
        for app in apps:
            messages: list[Message] = []

            async def receive() -> Message:
                return {"type": "http.disconnect"}

            async def send(message: Message, sent: list[Message] = messages) -> None:
                sent.append(message)

            both.gateway.logs.clear()
            await Telemetry(app, both.observed)(Sent().scope(), receive, send)
            assert messages == []
            assert [line["status"] for line in both.gateway.logs] == [499]


@pytest.mark.parametrize("through_fastapi", [False, True])
async def test_a_defect_is_one_problem_and_one_logged_traceback(
    through_fastapi: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    async with pair() as both:
        monkeypatch.setattr(AdmitStep, "__call__", fail)
        answered = await both.answer(both.direct.app if through_fastapi else both.direct, Sent())
        assert (answered.status, json.loads(answered.body)["code"]) == (500, "internal_error")
        assert [line["event"] for line in answered.logged] == ["request failed", "request"]


def test_each_direct_route_is_declared_for_fastapi() -> None:
    app = create_app(Settings(), CollectorRegistry())
    documented = routes_of(app).openapi()["paths"]
    assert all("post" in documented[path] for path in ANSWERS)


@pytest.mark.parametrize("path", ANSWERS)
def test_the_direct_routes_are_answered_without_fastapi(path: str) -> None:
    scope = Sent(path=path).scope()
    assert answer_for(scope) is ANSWERS[path]
