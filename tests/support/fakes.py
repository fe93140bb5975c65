"""A TorchServe that is a few lines of Python, and the gateway in front of it, both on real sockets.

The fake implements the wire of `handlers.shared.wire`: its answer to a request has for each image
the label map that `labels_of` makes of it. `fault` replaces all answers by a failure, as in
`torchserve.fault = torchserve.own_error(503)`: those to photos, liveness probes and card requests
alike, unless the failure's docstring has an exception.
"""

import asyncio
import inspect
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from fastapi import FastAPI
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp
from structlog.testing import capture_logs

from handlers.job import Answer, joint_body
from handlers.shared.cost import CostRates, DecodeRate
from handlers.shared.errors import ProblemError
from handlers.shared.photo import DEFAULT_FORMATS, OPTIONAL_FORMATS, read_header
from handlers.shared.png import write_grey_alpha, write_indexed
from handlers.shared.sections import split_sections, with_lengths
from handlers.shared.wire import (
    DRAINING_HEADER,
    IMAGES_MEDIA_TYPE,
    MODEL_HEADER,
    REQUEST_SECTIONS,
    GroupFigures,
    Report,
)
from service.api.components import Components, components_of
from service.app import create_app
from service.backend.health import PROBE_PHOTO
from service.backend.replicas.replica import ModelReplica
from service.server.server import Server, uvicorn_options
from service.settings import Settings

ROOT = Path(__file__).parents[2]
MODEL_YAML = yaml.safe_load((ROOT / "model_store/fcn8s-lite2/model.yaml").read_text())
CLASSES: list[str] = MODEL_YAML["classes"]
PALETTE = bytes(channel for colour in MODEL_YAML["palette"] for channel in colour)
CAT = (ROOT / "service/samples/cat.jpg").read_bytes()
PROBE = PROBE_PHOTO.read_bytes()
CONFIDENCE = 200
# plain HTTP only: a context with certificates takes 40 ms to make
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

# a cat of 480x320 takes a seventh of a second, and a power of two makes all sums exact
FAKE_PIXELS_PER_S = 1 << 20
NO_TIME = DecodeRate(s_per_megapixel=0, s_per_megabyte=0)
FAKE_COSTS = CostRates(
    decode=dict.fromkeys(DEFAULT_FORMATS | OPTIONAL_FORMATS, NO_TIME),
    pass_s=0,
    forward_s_per_megapixel=1e6 / FAKE_PIXELS_PER_S,
    labels_s_per_megapixel=0,
    confidence_s_per_megapixel=0,
)

# in all less than any round trip takes
STAGES_MS = {"plan": 0.025, "decode": 0.15, "forward": 0.2, "encode": 0.05, "hold": 0.0125}
# TorchServe's own headers, and others that must never reach a client
FOREIGN_HEADERS = {
    "x-request-id": "torchserve-made-this",
    "Cache-Control": "no-cache; no-store, must-revalidate, private",
    "Pragma": "no-cache",
    "Expires": "Thu, 01 Jan 1970 00:00:00 UTC",
    "Set-Cookie": "torchserve=1",
}

Fault = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Call:
    """One image that arrived at the fake; those of one request have its number."""

    model: str
    body: bytes
    options: dict[str, object]
    headers: dict[str, str]
    request: int

    @property
    def is_card_request(self) -> bool:
        return self.options.get("output") == "describe"

    @property
    def is_liveness_probe(self) -> bool:
        return self.body == PROBE and self.options == {"max_side": 64}


@dataclass
class FakeTorchServe:
    """The part of TorchServe's inference API that the gateway uses."""

    digest: str = "0123456789abcdef"
    batch_size: int = 8
    workers: int = 1
    response_timeout_s: float = 0.0
    is_draining: bool = False
    costs: CostRates = FAKE_COSTS
    classes: list[str] = field(default_factory=lambda: CLASSES)
    background_id: int | None = 0
    fault: Fault | None = None
    calls: list[Call] = field(default_factory=list)
    requests: int = 0
    busy: int = 0  # images
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def photos(self) -> list[Call]:
        return [
            call for call in self.calls if not call.is_card_request and not call.is_liveness_probe
        ]

    @property
    def liveness_probes(self) -> list[Call]:
        return [call for call in self.calls if call.is_liveness_probe]

    @property
    def card_requests(self) -> list[Call]:
        return [call for call in self.calls if call.is_card_request]

    def card(self, name: str) -> dict[str, object]:
        return {
            **{key: MODEL_YAML[key] for key in ("version", "architecture", "palette")},
            **{key: MODEL_YAML[key] for key in ("working_max_side", "max_side_limit")},
            "name": name,
            "digest": self.digest,
            "classes": self.classes,
            "background_id": self.background_id,
            "batch_size": self.batch_size,
            "workers": self.workers,
            "costs": self.costs.model_dump(),
            "response_timeout_s": self.response_timeout_s,
            "device": "cpu",
            "precision": "fp32",
            "numerics": "fake",
        }

    async def predict(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        images = await self.images_of(request)
        self.calls += images
        self.busy += len(images)
        try:
            return await (self.fault or self.answered)(request)
        finally:
            self.busy -= len(images)

    async def images_of(self, request: web.Request) -> list[Call]:
        assert request.content_type == IMAGES_MEDIA_TYPE
        name, headers = request.match_info["name"], dict(request.headers)
        return [
            Call(name, bytes(image), json.loads(bytes(options)), headers, self.requests)
            for options, image in split_sections(await request.read(), REQUEST_SECTIONS)
        ]

    async def answered(self, request: web.Request) -> web.StreamResponse:
        """A mask, or the card, for each image."""
        return await self.answering(self.answer)(request)

    def answer(self, call: Call) -> Answer:
        if call.is_card_request:
            card = json.dumps(self.card(call.model)).encode()
            return Answer(card, "application/json", Report({}, 1))
        labels = labels_of(call.body, call.options)
        figures = GroupFigures(1, labels.size, labels.size + 24)
        report = Report(STAGES_MS, 1, figures, class_pixels_of(labels))
        if call.options.get("output") == "confidence":
            png = write_grey_alpha(labels, np.full_like(labels, CONFIDENCE))
        else:
            png = write_indexed(labels, PALETTE)
        return Answer(png, "image/png", report)

    def answering(self, answer: Callable[[Call], Answer]) -> Fault:
        """These answers, image by image."""

        async def fault(request: web.Request) -> web.StreamResponse:
            answers = [answer(call) for call in await self.images_of(request)]
            return self.sent(request, joint_body(answers))

        return fault

    def sent(self, request: web.Request, body: bytes) -> web.Response:
        model = f"{request.match_info['name']}@{self.digest}"
        headers = {**FOREIGN_HEADERS, MODEL_HEADER: model}
        headers |= {DRAINING_HEADER: "1"} if self.is_draining else {}
        return web.Response(body=body, content_type=IMAGES_MEDIA_TYPE, headers=headers)

    def own_error(self, status: int) -> Fault:
        """TorchServe's own answer: no worker took the image."""

        async def fault(request: web.Request) -> web.StreamResponse:
            own = {"code": status, "type": "FakeException", "message": "TorchServe's own words"}
            return web.json_response(own, status=status, headers=FOREIGN_HEADERS)

        return fault

    def photos_get(self, answer: Callable[[Call], Answer]) -> Fault:
        """These answers to photos; cards are answered as usual."""
        return self.answering(
            lambda call: self.answer(call) if call.is_card_request else answer(call)
        )

    def image_problem(self, problem: ProblemError) -> Fault:
        """A problem with each image, found by the worker; cards are answered as usual."""
        return self.photos_get(lambda _: Answer.of_problem(problem, Report(STAGES_MS, 1)))

    def raw_mask(self, mask: bytes) -> Fault:
        """These bytes as a mask; cards are answered as usual."""
        return self.photos_get(lambda _: Answer(mask, "image/png", Report(STAGES_MS)))

    def raw_report(self, report: bytes) -> Fault:
        """These bytes as the report of each photo; cards are answered as usual."""

        async def fault(request: web.Request) -> web.StreamResponse:
            calls = await self.images_of(request)
            if any(call.is_card_request for call in calls):
                return await self.answered(request)
            sections = [b"image/png", report, b""] * len(calls)
            return self.sent(request, b"".join(with_lengths(sections)))

        return fault

    def raw_card(self, card: bytes) -> Fault:
        """These bytes as a card, to every image."""
        return self.answering(lambda _: Answer(card, "application/json", Report({}, 1)))

    async def hangs(self, request: web.Request) -> web.StreamResponse:
        """No answer until `released` is set."""
        await self.released.wait()
        return await self.answered(request)

    async def hangs_up(self, request: web.Request) -> web.StreamResponse:
        """The connection breaks instead of an answer."""
        assert request.transport
        request.transport.abort()
        return web.Response()

    async def breaks_off(self, request: web.Request) -> web.StreamResponse:
        """The connection breaks in the middle of an answer."""
        name = request.match_info["name"]
        headers = {MODEL_HEADER: f"{name}@{self.digest}", "Content-Length": "1000"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        await response.write(b"\x89PNG")
        assert request.transport
        request.transport.abort()
        return response


def labels_of(body: bytes, options: dict[str, object] | None = None) -> NDArray[np.uint8]:
    """Label any photo: (H, W), its lower half a cat, with a dog of 2x3 pixels in it."""
    stored = (options or {}).get("orientation") == "stored"
    height, width = read_header(body).size("stored" if stored else "exif")
    labels = np.zeros((height, width), np.uint8)
    labels[height // 2 :] = CLASSES.index("cat")
    labels[-4:-2, 4:7] = CLASSES.index("dog")
    return labels


def class_pixels_of(labels: NDArray[np.uint8]) -> dict[int, int]:
    """Count the pixels of each class."""
    numbers, pixels = np.unique(labels, return_counts=True)
    return dict(zip(numbers.tolist(), pixels.tolist(), strict=True))


@dataclass(frozen=True)
class Gateway:
    """A running gateway, the fake behind it, and a client."""

    app: ASGIApp
    registry: CollectorRegistry
    torchserve: FakeTorchServe
    http: httpx.AsyncClient
    port: int
    logs: list[MutableMapping[str, Any]]
    server: Server

    async def segment(self, body: bytes = CAT, /, **options: Any) -> httpx.Response:
        """POST a photo; `options` are the query's, but for `headers` and `content_type`."""
        headers = options.pop("headers", {})
        headers = {"Content-Type": options.pop("content_type", "image/jpeg"), **headers}
        return await self.http.post("/v1/segment", content=body, params=options, headers=headers)

    async def raw(self, request: bytes) -> bytes:
        """Send these bytes; return all that arrives until the gateway closes the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        return answer

    def value(self, name: str, **labels: str) -> float:
        """The sum of all samples of that name that have these labels."""
        return sum(
            sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    @property
    def components(self) -> Components:
        return components_of(routes_of(self.app))

    def replica(self, model: str = "fcn8s-lite2") -> ModelReplica:
        """The fake, as the gateway sees it."""
        (found,) = self.components.health.replicas.of[model].all
        return found

    @property
    def in_flight(self) -> int:
        found = self.components.segmenter.read.admission.in_flight.images
        assert found == self.value("fcnserve_images_in_flight")
        return found

    async def ready(self) -> None:
        """Wait until a liveness probe has been answered."""
        await until(self.components.health.is_ready)


@asynccontextmanager
async def running(
    torchserve: FakeTorchServe | None = None, **settings: Any
) -> AsyncIterator[Gateway]:
    """Run the fake and the gateway, each on a free port, until the block ends."""
    torchserve = torchserve or FakeTorchServe()
    async with (
        listening(torchserve) as url,
        gateway_at(torchserve, **{"torchserve_url": url, **settings}) as gateway,
    ):
        yield gateway


@asynccontextmanager
async def listening(torchserve: FakeTorchServe, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """Run the fake alone; yields its URL."""
    upstream = web.Application(client_max_size=1 << 30)
    upstream.router.add_post("/predictions/{name}", torchserve.predict)
    async with TestServer(upstream, host=host) as server:
        try:
            yield f"http://127.0.0.1:{server.port}"
        finally:
            torchserve.released.set()


@asynccontextmanager
async def gateway_at(torchserve: FakeTorchServe, **settings: Any) -> AsyncIterator[Gateway]:
    """Run the gateway on uvicorn and httptools, as `fcnserve gateway` does, in this event loop."""
    registry = CollectorRegistry()
    chosen = Settings(**{"port": 0, **settings})
    app = create_app(chosen, registry)
    config = uvicorn.Config(app, **uvicorn_options(chosen), lifespan="on")
    config.load()
    server = Server(config, chosen.drain_delay_s)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    port: int = server.servers[0].sockets[0].getsockname()[1]
    try:
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, timeout=20, verify=NO_TLS) as http:
            with capture_logs() as logs:
                yield Gateway(app, registry, torchserve, http, port, logs, server)
    finally:
        torchserve.released.set()
        # as Server.shutdown does, which looks for idle connections every 0.1 s only
        for listener in server.servers:
            listener.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()
        await until(lambda: not server.server_state.tasks)
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        await server.lifespan.shutdown()


def routes_of(app: Any) -> FastAPI:
    """Find FastAPI's part of an application."""
    while not isinstance(app, FastAPI):
        app = app.app
    return app


async def until(holds: Callable[[], object], within_s: float = 10.0) -> None:
    """Poll until `holds()`, awaited if it has to be, is true; fail after `within_s`."""
    async with asyncio.timeout(within_s):
        while True:
            found = holds()
            if await found if inspect.isawaitable(found) else found:
                return
            await asyncio.sleep(0.005)
