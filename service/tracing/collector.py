"""Where spans go: the environment in, whether OpenTelemetry has a collector to send them to out.
Called by `service.app` and `service.server.run`.
"""

from collections.abc import Mapping
from importlib.util import find_spec

COLLECTORS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
PROTOCOL = "http/protobuf"


class TracingError(ValueError):
    """The environment asks for spans that cannot be sent."""


def has_collector(environ: Mapping[str, str]) -> bool:
    """Return whether the environment names a collector of spans; raises TracingError where it does
    and nothing could be sent to it.
    """
    if not any(map(environ.get, COLLECTORS)) or environ.get("OTEL_SDK_DISABLED") == "true":
        return False
    for name in PROTOCOLS:
        if environ.get(name, PROTOCOL) != PROTOCOL:
            raise TracingError(f"{name}={environ[name]}: spans are sent by {PROTOCOL} only")
    if find_spec("opentelemetry") is None:
        raise TracingError(
            "a collector of spans is set, and OpenTelemetry is not installed; install fcnserve's "
            "extra `tracing`, or unset OTEL_EXPORTER_OTLP_ENDPOINT"
        )
    return True
