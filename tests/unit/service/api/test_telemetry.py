"""A request that ends with an exception leaves nothing in memory."""

import gc
import weakref
from collections.abc import Callable
from functools import partial

import pytest
from prometheus_client import CollectorRegistry
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from service.api.telemetry import Telemetry
from service.errors import BusyError
from service.metrics.requests import RequestMetrics


class Part:
    """What a frame of the application refers to."""


@pytest.mark.parametrize(
    ("make_error", "status"),
    [
        pytest.param(partial(BusyError, "full", 1), 429, id="refused"),
        pytest.param(ZeroDivisionError, 500, id="defect"),
    ],
)
async def test_what_a_failed_request_had_in_memory_is_freed_at_once(
    make_error: Callable[[], Exception], status: int
) -> None:
    found: list[weakref.ref[Part]] = []
    statuses: list[int] = []

    async def application(_scope: Scope, _receive: Receive, _send: Send) -> None:
        part = Part()
        found.append(weakref.ref(part))
        raise make_error()

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope: Scope = {"type": "http", "method": "POST", "path": "/v1/segment", "headers": []}
    gc.disable()
    try:
        with capture_logs():
            await Telemetry(application, RequestMetrics(CollectorRegistry()))(scope, receive, send)
        assert found[0]() is None
    finally:
        gc.enable()
    assert statuses == [status]
