"""The whole gateway: settings in, an ASGI application out. Wiring, and nothing else.

request -> Telemetry -> Door -> (Gate) -> route -> Segmenter -> Handover -> Upstream -> TorchServe
"""

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext, suppress
from functools import partial
from importlib.metadata import version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry
from starlette.middleware.cors import CORSMiddleware

from handlers.shared.photo import ignore_decoder_warnings
from service.api import components, problem_handlers, routes
from service.api.head_requests import HeadRequests
from service.api.openapi_document import document
from service.api.openapi_responses import DESCRIPTION, problems
from service.api.overload import OverloadMiddleware
from service.api.telemetry import Telemetry
from service.auth.authenticator import Authenticator, in_front
from service.auth.shared_table import SharedTable
from service.backend.attempt import Attempts
from service.backend.client import TorchServeClient
from service.backend.dispatcher import Dispatcher
from service.backend.health import Health
from service.backend.registry import ModelRegistry
from service.backend.retry import Retry
from service.body.budget import BodyBudget
from service.body.content_encoding import Decompressor
from service.metrics.gateway import Metrics
from service.metrics.scrape import Scrape
from service.pipeline.admission import Admission
from service.pipeline.admit import AdmitStep
from service.pipeline.dispatch import DispatchStep
from service.pipeline.limits import AdmissionLimits
from service.pipeline.options import OptionsReader
from service.pipeline.read import ReadStep
from service.pipeline.render import RenderStep
from service.pipeline.segment import Segmenter
from service.settings import Settings

EXPOSED_HEADERS = ("X-Request-ID", "Server-Timing", "Content-Digest", "X-Model", "Retry-After")


def create_app(
    settings: Settings,
    registry: CollectorRegistry,
    scraped: CollectorRegistry | None = None,
    rates: SharedTable | None = None,
) -> FastAPI:
    """Build the gateway; nothing connects anywhere before it is started.

    `/metrics` shows `registry` or, with several processes, the sums of all in `scraped`; what keys
    have sent is counted in `rates`, which these share.
    """
    ignore_decoder_warnings()
    metrics = Metrics(registry, scraped, settings.models)
    gate = Authenticator.of(settings, rates)
    admission = admission_of(settings, metrics)
    make = FastAPIOffline if settings.open_docs else partial(FastAPI, openapi_url=None)
    app = make(  # offline: /docs without a CDN
        title="fcnserve",
        version=version("fcnserve"),
        description=DESCRIPTION,
        redoc_url=None,
        redirect_slashes=False,  # to the host that a client has named
        lifespan=lambda app: lifespan(app, settings, metrics, gate, admission),
    )
    add_routes(app, settings, gate)
    app.openapi = partial(document, app, settings.models)  # type: ignore[method-assign]  # FastAPI's way to do it
    for kind in problem_handlers.HANDLED_BY_FASTAPI:
        app.add_exception_handler(kind, problem_handlers.answer)
    app.add_middleware(OverloadMiddleware, admission=admission)
    app.add_middleware(HeadRequests)
    app.add_middleware(Telemetry, metrics=metrics)  # around the door
    if settings.cors_origins:  # outermost: a browser may read each answer, failures too
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=EXPOSED_HEADERS,
        )
    return app


def add_routes(app: FastAPI, settings: Settings, gate: Authenticator | None) -> None:
    """Open what the settings open to all, and put the gate in front of the rest."""
    if gate is None:
        app.include_router(routes.v1)
    else:
        refusals = problems(401, 429)
        app.include_router(routes.v1, dependencies=in_front(gate.admit), responses=refusals)
    app.include_router(routes.probes)
    if settings.open_metrics:
        app.include_router(routes.scrape)
    elif gate is not None:
        app.include_router(
            routes.scrape, dependencies=in_front(gate.identify), responses=problems(401)
        )
    if settings.open_docs:
        app.include_router(routes.docs)


def admission_of(settings: Settings, metrics: Metrics) -> Admission:
    limits = AdmissionLimits(
        settings.max_in_flight, settings.max_in_flight_bytes, settings.max_in_flight_seconds
    )
    share = limits.share(settings.gateway_processes)
    return Admission(share, metrics.queue, settings.models)


def rendering_threads() -> ThreadPoolExecutor:
    """Make the threads that render large photos: they take half of the processors from the workers
    at most, and each takes memory for several times a photo's pixels.
    """
    return ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)) // 2), "render")


@asynccontextmanager
async def lifespan(
    app: FastAPI,
    settings: Settings,
    metrics: Metrics,
    gate: Authenticator | None,
    admission: Admission,
) -> AsyncIterator[None]:
    """Connect to TorchServe and watch over it for as long as the gateway runs."""
    client = TorchServeClient(settings.torchserve_url)
    models = ModelRegistry(
        settings.models,
        client,
        settings.timeout_ms,
        settings.attempt_timeout_s,
        metrics.reports.show,
    )
    dispatchers = {name: Dispatcher(metrics.queue.of(name)) for name in settings.models}
    decompressor = Decompressor()
    renderers = rendering_threads()
    health = Health(client, models, settings, metrics.readiness, admission.is_idle)
    retry = Retry(health, metrics.attempts, settings.restart_wait_s)
    attempts = Attempts(client, models, health, metrics.attempts, metrics.reports)
    segmenter = Segmenter(
        settings,
        models,
        OptionsReader(models, retry),
        ReadStep(admission, BodyBudget.of(settings, metrics.queue), decompressor),
        AdmitStep(settings, metrics.images),
        DispatchStep(attempts, models, dispatchers, retry, settings.gateway_processes),
        RenderStep(renderers, metrics.images),
        metrics.requests,
    )
    scrape = Scrape(metrics.scraped)
    components.install(app, components.Components(segmenter, models, health, scrape))
    watch = asyncio.create_task(health.watch())
    try:
        with gate.watching() if gate is not None else nullcontext():
            yield
    finally:
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch
        for dispatcher in dispatchers.values():
            await dispatcher.close()
        await client.close()
        decompressor.close()
        renderers.shutdown(wait=False)
