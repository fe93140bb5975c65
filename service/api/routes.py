"""The routes, in groups: a request in, the answer of a component out. `service.app` chooses the
groups, and which of them need an API key.
"""

from typing import Literal

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from service.api import openapi_responses as openapi
from service.api.components import components_of
from service.backend.model_card import ModelCard
from service.context import context_of
from service.errors import DrainingError, NotReadyError
from service.pipeline.batch import segment_batch
from service.pipeline.query import SegmentOptions, refuse_repeats


class Readiness(BaseModel):
    """Photos will be answered, except those for a silent model."""

    status: Literal["ready"] = "ready"
    silent: list[str]


each_once = [Depends(refuse_repeats)]

v1 = APIRouter(prefix="/v1", dependencies=each_once)
probes = APIRouter(dependencies=each_once)
scrape = APIRouter()


@v1.post(
    "/segment",
    tags=["segment"],
    summary="Segment one photo",
    response_class=Response,
    responses=openapi.SEGMENT_RESPONSES,
    openapi_extra=openapi.SEGMENT_REQUEST,
)
async def segment(request: Request, options: SegmentOptions) -> Response:
    """Send a photo, get its mask: same size, pixel for pixel."""
    return await components_of(request.app).segmenter.segment(request, options)


@v1.post(
    "/segment/batch",
    tags=["segment"],
    summary="Segment several photos",
    response_class=Response,
    responses=openapi.BATCH_RESPONSES,
    openapi_extra=openapi.BATCH_REQUEST,
)
async def batch(request: Request, options: SegmentOptions) -> Response:
    """Send up to 32 photos, get each one's mask or problem, in order: the same bytes as alone."""
    return await segment_batch(components_of(request.app).segmenter, request, options)


@v1.get(
    "/models",
    tags=["models"],
    summary="List the models served",
    responses=openapi.problems(500, 502, 503, 504),
)
async def list_models(request: Request) -> list[ModelCard]:
    """The default model comes first. A model without workers is left out, unless its card is
    known.
    """
    return await components_of(request.app).models.cards()


@v1.get(
    "/models/{name}",
    tags=["models"],
    summary="Describe a model",
    responses=openapi.problems(404, 422, 500, 502, 503, 504),
)
async def describe_model(request: Request, name: str) -> ModelCard:
    """Classes, palette, limits, precision and digest."""
    models = components_of(request.app).models
    return await models.card(models.resolve(name))


@probes.get("/livez", tags=["probes"], summary="Is the gateway alive?")
async def livez() -> dict[str, str]:
    """It answers, so it is."""
    return {"status": "alive"}


@probes.get(
    "/readyz",
    tags=["probes"],
    summary="Will a photo be answered?",
    responses=openapi.problems(404, 422, 503),
)
async def readyz(request: Request, model: str | None = None) -> Readiness:
    """200 while workers of any model have answered anything lately (with `model=`: of that one),
    none is still starting, and the gateway is not about to stop; else 503.
    """
    if context_of(request).is_draining:
        raise DrainingError("this gateway is about to stop; send new requests to another")
    components = components_of(request.app)
    health, models = components.health, components.models
    if health.is_ready() if model is None else health.is_alive(models.resolve(model)):
        return Readiness(silent=health.silent())
    raise NotReadyError("no worker has answered lately; it may be starting: try again shortly")


@scrape.get(
    "/metrics",
    tags=["probes"],
    summary="Metrics for Prometheus",
    response_class=Response,
    responses=openapi.METRICS_RESPONSES,
)
async def metrics(request: Request) -> Response:
    """Text in Prometheus' exposition format."""
    text = await components_of(request.app).scrape.text()
    return Response(text, media_type=CONTENT_TYPE_LATEST)
