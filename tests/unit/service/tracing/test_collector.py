"""Environments from which spans are sent, and from which they cannot be."""

import pytest

from service.tracing.collector import TracingError, has_collector

COLLECTOR = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


def test_spans_are_sent_where_a_collector_is_named() -> None:
    assert has_collector(COLLECTOR)
    assert has_collector({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"})
    assert not has_collector({})
    assert not has_collector({**COLLECTOR, "OTEL_SDK_DISABLED": "true"})


def test_a_protocol_that_is_not_spoken_is_an_error() -> None:
    with pytest.raises(TracingError, match="OTEL_EXPORTER_OTLP_PROTOCOL=grpc"):
        has_collector({**COLLECTOR, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})


def test_a_missing_package_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.tracing.collector.find_spec", lambda _name: None)
    with pytest.raises(TracingError, match="extra `tracing`"):
        has_collector(COLLECTOR)
