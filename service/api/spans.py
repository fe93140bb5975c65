"""OpenTelemetry: a span for each request, and one for each stage in it, sent to a collector.

Made by `service.app`, only where the environment names a collector; called by
`service.api.telemetry`. The SDK and its exporter, from the extra `tracing`, read their settings
themselves (`OTEL_*`), and send from a thread of their own.
"""

import os
import time
from importlib.metadata import version
from typing import Self

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    format_trace_id,
    set_span_in_context,
)

from service.api.exchange import Exchange
from service.metrics.stage_times import VERBS
from service.tracing.traceparent import Trace

UNTRACED_PATHS = ("/livez", "/readyz", "/metrics")
NS_PER_MS = 1_000_000
SERVER_ERROR = 500


class RequestSpans:
    """Begins and ends the spans of requests (OpenTelemetry's semantic conventions for HTTP)."""

    def __init__(self, processor: SpanProcessor) -> None:
        self._provider = TracerProvider(resource=resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("fcnserve", version("fcnserve"))

    @classmethod
    def to_collector(cls) -> Self:
        """Send spans to the collector that the environment names."""
        return cls(BatchSpanProcessor(OTLPSpanExporter()))

    def close(self) -> None:
        """Send what has not been sent."""
        self._provider.shutdown()

    def begin(self, exchange: Exchange) -> Span | None:
        """Begin a request's span, in its client's trace or in a new one; None for a probe."""
        if exchange.path in UNTRACED_PATHS:
            return None
        trace = exchange.context.trace
        span = self._tracer.start_span(
            f"{exchange.method} {exchange.route}",
            set_span_in_context(NonRecordingSpan(caller_span(trace))) if trace else None,
            SpanKind.SERVER,
            {"http.request.method": exchange.method, "url.path": exchange.path},
        )
        exchange.context.trace_id = format_trace_id(span.get_span_context().trace_id)
        return span

    def end(self, span: Span, exchange: Exchange) -> None:
        """End a request's span, with those of its stages.

        A worker reports how long its stages took, not when they began: all stages are placed end to
        end, in their order, from the beginning of the request on.
        """
        if span.is_recording():
            self._add_stages(span, exchange)
            describe(span, exchange)
        span.end()

    def _add_stages(self, span: Span, exchange: Exchange) -> None:
        context = set_span_in_context(span)
        at_ns = time.time_ns() - int(exchange.seconds * 1000 * NS_PER_MS)
        for verb in VERBS:
            if (ms := exchange.context.stages.ms.get(verb)) is not None:
                stage = self._tracer.start_span(verb, context, start_time=at_ns)
                at_ns += int(ms * NS_PER_MS)
                stage.end(at_ns)


def resource() -> Resource:
    """Name the service, unless the environment does."""
    is_named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    return Resource.create({} if is_named else {"service.name": "fcnserve"})


def caller_span(trace: Trace) -> SpanContext:
    return SpanContext(
        int(trace.trace_id, 16),
        int(trace.parent_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(trace.flags),
    )


def describe(span: Span, exchange: Exchange) -> None:
    """Add to a span what is known at the end of a request."""
    context = exchange.context
    span.update_name(f"{exchange.method} {exchange.route}")
    attributes: dict[str, str | int] = {
        "http.route": exchange.route,
        "http.response.status_code": exchange.status,
        "fcnserve.request_id": context.request_id,
        "fcnserve.images": context.image_count,
        "fcnserve.model": exchange.model,
        "client.address": exchange.client,
        "error.type": context.problem_code,
    }
    span.set_attributes({name: value for name, value in attributes.items() if value != ""})
    if exchange.status >= SERVER_ERROR:
        span.set_status(StatusCode.ERROR, context.problem_code)
