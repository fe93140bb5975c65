"""A fake of the API for tests of the client and the command: answers photos, and records requests.

The fixtures are used by `tests/unit/service/client` and `tests/unit/service/cli`.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from fcnserve_client.http.options import MEDIA_TYPES
from service.client.server_url import base_url

ANSWER = b"\x89PNG\r\n\x1a\nmask of "

CARD = {
    "name": "fcn",
    "version": "1.0",
    "digest": "0123456789abcdef",
    "classes": ["background", "cat"],
    "background_id": 0,
    "palette": [[0, 0, 0], [64, 0, 0]],
}

PROBLEMS = {
    b"keyless": (401, "unauthorized"),
    b"nowhere": (404, "model_not_found"),
    b"strange": (422, "invalid_option"),
}


class FakeServer:
    """Answers a photo with ANSWER + the photo; the bytes of special photos select other answers."""

    def __init__(self) -> None:
        self.queries: list[dict[str, str]] = []
        self.accepts: list[str] = []
        self.keys: list[str | None] = []
        self.busy_answers = 0
        self.kind = ""
        self.body = b""
        self.stop_after: int | None = None  # requests, after which none is answered
        self.stopped = asyncio.Event()
        self.concurrent = 0
        self.most_concurrent = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.concurrent += 1
        self.most_concurrent = max(self.most_concurrent, self.concurrent)
        try:
            return await self._answer(request)
        finally:
            self.concurrent -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(dict(request.query))
        self.accepts.append(request.headers["Accept"])
        self.keys.append(request.headers.get("Authorization"))
        photo = await request.read()
        if self.stop_after is not None and len(self.queries) > self.stop_after:
            self.stopped.set()
            await asyncio.Event().wait()  # until the client has gone
        if photo == b"broken":
            problem = {"detail": "the image is cut short", "code": "broken_image"}
            return web.json_response(problem, status=400, content_type="application/problem+json")
        if photo == b"html":
            return web.Response(status=413, text="<html>", content_type="text/html")
        if photo in PROBLEMS:
            status, code = PROBLEMS[photo]
            return web.json_response({"detail": "no", "code": code}, status=status)
        if self.busy_answers:
            self.busy_answers -= 1
            problem = {"detail": "busy", "code": "too_many_requests"}
            return web.json_response(problem, status=429, headers={"Retry-After": "0"})
        if photo == b"elsewhere":
            return web.Response(status=301, headers={"Location": "https://a.org/"})
        jpeg = request.headers["Accept"] == "image/jpeg"
        kind = "image/jpeg" if jpeg else MEDIA_TYPES[request.query["output"]]  # type: ignore[index]  # a str
        headers = {"X-Model": f"{CARD['name']}@{CARD['digest']}", "X-Request-ID": "r1"}
        return web.Response(
            body=self.body or ANSWER + photo, content_type=self.kind or kind, headers=headers
        )

    async def cards(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(CARD if request.path.endswith("/fcn") else [CARD])


@pytest.fixture
def fake() -> FakeServer:
    return FakeServer()


@pytest.fixture
async def url(fake: FakeServer) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/segment", fake.answer)
    app.router.add_get("/v1/models", fake.cards)
    app.router.add_get("/v1/models/{name}", fake.cards)
    async with TestServer(app) as server:
        yield base_url(str(server.make_url("/")))


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    paths = [tmp_path / "photos" / f"{name}.jpg" for name in "abcdef"]
    paths[0].parent.mkdir()
    for path in paths:
        path.write_bytes(path.stem.encode())
    return [str(path) for path in paths]
