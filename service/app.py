"""The whole gateway: settings in, an ASGI application out. Wiring, and nothing else. Called by
`service.server`.

    request
       │   create_app                       around every request, from outside to inside
       ├─ WithoutPrefix                     a proxy's path prefix, where the settings name one
       ├─ CORSMiddleware                    headers for browsers, where the settings name origins
       ├─ Telemetry                         problems, one log line, metrics, spans
       ├─ DirectRoutes ─┬─ Admission        429 while the gateway is at capacity
       ├─ HeadRequests  │                   HEAD as GET
       │   create_routes, add_routes        FastAPI: all but requests for masks
       ├─ Authenticator ┤                   401, or 429 above a key's rate
       └─ route ────────┴─ Segmenter, once or for each image of a batch
            │   lifespan, build_segmenter
            ├─ OptionsReader ── ModelRegistry
            ├─ ReadStep ── Admission, BodyBudget, Decompressor
            ├─ AdmitStep
            ├─ DispatchStep ── Retry ── Health
            │    └─ Dispatcher (one a model) ── Attempts ── TorchServeClient ── TorchServe
            │         └─ ReplicaSet ── Discovery      one client for each address
            └─ RenderStep ── threads
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from handlers.shared.photo import ignore_decoder_warnings
from handlers.shared.processors import usable_processors
from service.api import problem_handlers, routes
from service.api.components import Components, components_of, install
from service.api.direct_routes import DirectRoutes
from service.api.head_requests import HeadRequests
from service.api.openapi_document import document
from service.api.openapi_responses import DESCRIPTION, problems
from service.api.root_path import WithoutPrefix
from service.api.telemetry import Telemetry
from service.auth.authenticator import Authenticator, as_dependencies
from service.auth.shared_table import SharedTable
from service.backend.attempt import Attempts
from service.backend.client import TorchServeClient
from service.backend.dispatcher import Dispatcher
from service.backend.health import Health
from service.backend.pins import Pins
from service.backend.registry import ModelRegistry
from service.backend.replicas.discovery import Discovery
from service.backend.replicas.replica_set import ReplicaSet
from service.backend.retry import Retry
from service.body.budget import BodyBudget
from service.body.content_encoding import Decompressor
from service.inference_address import parse_addresses
from service.metrics.gateway import Metrics
from service.metrics.scrape import Scrape
from service.multiprocess.group import ProcessGroup
from service.page.routes import page_routes
from service.pipeline.admission import Admission
from service.pipeline.admit import AdmitStep
from service.pipeline.dispatch import DispatchStep
from service.pipeline.limits import AdmissionLimits
from service.pipeline.options import OptionsReader
from service.pipeline.read import ReadStep
from service.pipeline.render import RenderStep
from service.pipeline.segment import Segmenter
from service.settings import Settings
from service.tasks.background import in_background
from service.tracing.collector import has_collector

if TYPE_CHECKING:  # imports OpenTelemetry, which may not be installed
    from service.api.spans import RequestSpans

EXPOSED_HEADERS = ("X-Request-ID", "Server-Timing", "Content-Digest", "X-Model", "Retry-After")


def create_app(
    settings: Settings,
    registry: CollectorRegistry,
    scraped: CollectorRegistry | None = None,
    rates: SharedTable | None = None,
    group: ProcessGroup | None = None,
) -> ASGIApp:
    """Build the gateway; it opens no connection before it is started.

    `/metrics` shows `registry` or, with several processes, the sums of all in `scraped`. These
    processes are `group`, and count what keys have sent in `rates`.
    """
    ignore_decoder_warnings()
    group = group or ProcessGroup(settings.models)
    metrics = Metrics(registry, scraped, settings.models)
    authenticator = Authenticator.of(settings, rates)
    admission = admission_of(settings, metrics, group)
    spans = request_spans()
    routes = create_routes(
        settings,
        authenticator,
        lambda app: lifespan(app, settings, metrics, authenticator, admission, group, spans),
    )
    direct = DirectRoutes(
        HeadRequests(routes), admission, authenticator, partial(components_of, routes)
    )
    app: ASGIApp = Telemetry(direct, metrics.requests, spans)
    if settings.cors_origins:
        app = with_cors(app, settings.cors_origins)
    return WithoutPrefix(app, settings.root_path) if settings.root_path else app


def create_routes(
    settings: Settings,
    authenticator: Authenticator | None,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
) -> FastAPI:
    """Build FastAPI's part: it routes what `DirectRoutes` does not answer, and documents all."""
    make = FastAPIOffline if settings.open_docs else partial(FastAPI, openapi_url=None)
    app = make(  # offline: /docs without a CDN
        title="fcnserve",
        version=version("fcnserve"),
        description=DESCRIPTION,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would go to any host that the request names
        lifespan=lifespan,
    )
    add_routes(app, settings, authenticator)
    app.openapi = partial(document, app, settings.models)  # type: ignore[method-assign]  # FastAPI's way to do it
    for kind in problem_handlers.HANDLED_BY_FASTAPI:
        app.add_exception_handler(kind, problem_handlers.answer)
    app.add_exception_handler(Exception, problem_handlers.pass_on)
    return app


def with_cors(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Let pages of these origins read each answer, problems too."""
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["*"],
        expose_headers=EXPOSED_HEADERS,
    )


def add_routes(app: FastAPI, settings: Settings, authenticator: Authenticator | None) -> None:
    """Add the routes that the settings open, with a check of API keys where there are keys."""
    if authenticator is None:
        app.include_router(routes.v1)
    else:
        app.include_router(
            routes.v1,
            dependencies=as_dependencies(authenticator.check_key_and_rate),
            responses=problems(401, 429),
        )
    app.include_router(routes.probes)
    if settings.open_metrics:
        app.include_router(routes.scrape)
    elif authenticator is not None:
        app.include_router(
            routes.scrape,
            dependencies=as_dependencies(authenticator.check_key),
            responses=problems(401),
        )
    if settings.open_docs:
        app.include_router(page_routes())


def request_spans() -> "RequestSpans | None":
    """Make what sends spans, where the environment names a collector; raises TracingError."""
    if not has_collector(os.environ):
        return None
    from service.api.spans import RequestSpans

    return RequestSpans.to_collector()


def admission_of(settings: Settings, metrics: Metrics, group: ProcessGroup) -> Admission:
    limits = AdmissionLimits(
        settings.max_in_flight, settings.max_in_flight_bytes, settings.max_in_flight_seconds
    )
    return Admission(limits, metrics.queue, settings.models, group)


@asynccontextmanager
async def lifespan(
    app: FastAPI,
    settings: Settings,
    metrics: Metrics,
    authenticator: Authenticator | None,
    admission: Admission,
    group: ProcessGroup,
    spans: "RequestSpans | None",
) -> AsyncIterator[None]:
    """Connect to TorchServe and watch its health for as long as the gateway runs, as one process of
    the group.
    """
    replicas = replicas_of(settings, admission, group)
    models = ModelRegistry(
        settings.models,
        replicas,
        settings.timeout_ms,
        settings.attempt_timeout_s,
        metrics.reports.show,
        Pins.of(settings.pin_model),
    )
    health = Health(replicas, models, settings, metrics.readiness)
    attempts = Attempts(models, health, metrics.attempts, metrics.reports)
    dispatchers = {
        name: Dispatcher(metrics.queue.of(name), attempts.send, replicas.of[name])
        for name in settings.models
    }
    metrics.replicas.follow(replicas.shown)
    discovery = Discovery(parse_addresses(settings.torchserve_url), replicas)
    decompressor, renderers = Decompressor(), render_threads()
    read = ReadStep(admission, BodyBudget.of(settings, metrics.queue, group.count), decompressor)
    retry = Retry(health, metrics.attempts, settings.restart_wait_s, replicas.has_other)
    dispatch = DispatchStep(models, dispatchers, retry)
    segmenter = build_segmenter(settings, metrics, read, dispatch, renderers)
    scrape = Scrape(metrics.scraped, metrics.scrape_delay_s)
    install(app, Components(segmenter, models, health, scrape))
    async with AsyncExitStack() as stack:  # closes in reverse order
        if spans is not None:
            stack.push_async_callback(asyncio.to_thread, spans.close)
        stack.callback(renderers.shutdown, wait=False)
        stack.callback(decompressor.close)
        stack.push_async_callback(replicas.close)
        for dispatcher in dispatchers.values():
            stack.push_async_callback(dispatcher.close)
        await stack.enter_async_context(metrics.flushing())
        await stack.enter_async_context(discovery.running())
        await stack.enter_async_context(in_background(health.watch()))
        if authenticator is not None:
            stack.enter_context(authenticator.watching())
        yield


def replicas_of(settings: Settings, admission: Admission, group: ProcessGroup) -> ReplicaSet:
    """Make the set of replicas, which has none yet; the limits of admission follow their number."""
    replicas = ReplicaSet(
        settings.models,
        lambda address: TorchServeClient(address, settings.max_answer_bytes),
        group,
    )
    for of_model in replicas.of.values():
        of_model.on_change.append(lambda: admission.follow(replicas.alive_count()))
    return replicas


def build_segmenter(
    settings: Settings,
    metrics: Metrics,
    read: ReadStep,
    dispatch: DispatchStep,
    renderers: Executor,
) -> Segmenter:
    """Put together the steps of a photo."""
    return Segmenter(
        settings,
        dispatch.models,
        OptionsReader(dispatch.models, dispatch.retry),
        read,
        AdmitStep(settings, metrics.images),
        dispatch,
        RenderStep(renderers, metrics.images),
        metrics.requests,
    )


def render_threads() -> ThreadPoolExecutor:
    """Make the threads that render large photos: they take at most half of the processors from the
    workers, and each takes memory for several times a photo's pixels.
    """
    return ThreadPoolExecutor(max(1, usable_processors() // 2), "render")
