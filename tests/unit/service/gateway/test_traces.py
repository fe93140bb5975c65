"""Traces from outside: a client's trace in log and worker, and spans at a real OTLP receiver."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from service.metrics.stage_times import VERBS
from tests.support.fakes import CAT, Gateway, running

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01"}
NOT_SAMPLED = {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-00"}


@dataclass
class Collector:
    """What has arrived at a receiver of OTLP over HTTP."""

    spans: list[Span] = field(default_factory=list)
    services: set[str] = field(default_factory=set)

    async def receive(self, request: web.Request) -> web.Response:
        export = ExportTraceServiceRequest.FromString(await request.read())
        for of_resource in export.resource_spans:
            self.services |= {
                each.value.string_value
                for each in of_resource.resource.attributes
                if each.key == "service.name"
            }
            self.spans += (span for scope in of_resource.scope_spans for span in scope.spans)
        return web.Response()

    def named(self, name: str) -> Span:
        (found,) = (span for span in self.spans if span.name == name)
        return found


def attributes(span: Span) -> dict[str, str | int]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.receive)
    async with TestServer(app) as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.port}")
        yield collector


def lines(gateway: Gateway) -> list[str]:
    return [line.get("trace_id", "") for line in gateway.logs if line["event"] == "request"]


async def test_a_clients_trace_is_in_the_log_and_reaches_the_worker() -> None:
    async with running() as gateway:
        await gateway.segment(headers=SAMPLED)
        await gateway.segment()
        await gateway.segment(headers={"traceparent": "nonsense"})
        assert lines(gateway) == [TRACE_ID, "", ""]
        sent = [call.options.get("trace_id") for call in gateway.torchserve.photos]
        assert sent == [TRACE_ID, None, None]


async def test_a_request_has_a_span_with_its_stages(collector: Collector) -> None:
    async with running() as gateway:
        answer = await gateway.segment(headers={**SAMPLED, "X-Request-ID": "cat-1"})
    request = collector.named("POST /v1/segment")
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE_ID, SPAN_ID)
    assert request.kind == Span.SPAN_KIND_SERVER
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": "/v1/segment",
        "http.response.status_code": 200,
        "url.path": "/v1/segment",
        "client.address": "127.0.0.1",
        "fcnserve.request_id": "cat-1",
        "fcnserve.images": 1,
        "fcnserve.model": answer.headers["x-model"],
    }
    stages = [span for span in collector.spans if span.parent_span_id == request.span_id]
    assert [span.name for span in stages] == list(VERBS)
    for before, after in pairwise(stages):
        assert before.end_time_unix_nano == after.start_time_unix_nano
    assert collector.services == {"fcnserve"}


async def test_without_a_clients_trace_one_begins_which_log_and_worker_know(
    collector: Collector,
) -> None:
    async with running() as gateway:
        await gateway.segment()
        (trace_id,) = lines(gateway)
        (call,) = gateway.torchserve.photos
    assert call.options["trace_id"] == trace_id
    assert collector.named("POST /v1/segment").trace_id.hex() == trace_id


async def test_a_problem_is_in_its_span(collector: Collector) -> None:
    async with running() as gateway:
        await gateway.segment(b"hello")
        gateway.torchserve.fault = gateway.torchserve.own_error(500)
        await gateway.segment(timeout_ms=1000)
    client, server = (span for span in collector.spans if span.name == "POST /v1/segment")
    assert attributes(client)["error.type"] == "broken_image"
    assert client.status.code == Status.STATUS_CODE_UNSET
    assert attributes(server)["error.type"] == server.status.message != ""
    assert server.status.code == Status.STATUS_CODE_ERROR


async def test_probes_and_traces_that_are_not_recorded_have_no_spans(collector: Collector) -> None:
    async with running() as gateway:
        await gateway.segment(headers=NOT_SAMPLED)
        for path in ("/livez", "/readyz", "/metrics"):
            await gateway.http.get(path)
        await gateway.http.get("/made/up")
    assert [span.name for span in collector.spans] == ["GET unmatched"]


async def test_a_batch_has_one_span(collector: Collector) -> None:
    async with running() as gateway:
        files = [("image", ("cat.jpg", CAT, "image/jpeg"))] * 2
        await gateway.http.post("/v1/segment/batch", files=files)
    batch = collector.named("POST /v1/segment/batch")
    assert attributes(batch)["fcnserve.images"] == 2
    assert [span.name for span in collector.spans if span.parent_span_id] == ["read"]


async def test_a_collector_that_refuses_costs_no_request_anything(
    monkeypatch: pytest.MonkeyPatch, unused_tcp_port_factory: Callable[[], int]
) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port_factory()}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    async with running() as gateway:
        for _ in range(3):
            assert (await gateway.segment()).status_code == 200
