"""The data of one request beside its HTTP: one typed record.

The server makes it (under another ASGI server, the first `context_of`) when the request's head is
complete. Written by `service.server` (draining, refusal, end of the body, disconnect),
`service.auth` (the key), `service.errors` and `service.api.telemetry` (the problem) and
`service.pipeline` (stage times, images); read by these and by the access log.
"""

import asyncio
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Scope

from handlers.shared.errors import ProblemError
from service.metrics.stage_times import StageTimes
from service.tracing.traceparent import Trace

REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
CONTEXT_KEY = "context"  # of a scope's state


@dataclass(slots=True)
class RequestContext:
    """One request: its id, its times, and what became of it."""

    request_id: str
    arrived_s: float  # by the event loop's clock
    stages: StageTimes = field(default_factory=StageTimes)
    trace: Trace | None = None  # the client's
    trace_id: str = ""  # the client's, or that of the request's own span
    image_count: int = 1
    key_name: str = ""  # of the API key, for the log
    charge_key: Callable[[int], None] | None = (
        None  # for so many images more, where there is a rate
    )
    problem_code: str = ""  # of the answer
    refusal: ProblemError | None = None  # the answer, instead of a route's
    is_draining: bool = False  # when the request arrived, the gateway was about to stop
    has_complete_body: bool = False  # no more of it is to arrive
    is_disconnected: bool = False
    on_disconnect: Callable[[], None] | None = None  # called once, by `disconnect`

    def disconnect(self) -> None:
        """Note that the client has disconnected before the end of its answer."""
        self.is_disconnected = True
        if self.on_disconnect is not None:
            self.on_disconnect()


def context_of(request: HTTPConnection | Scope) -> RequestContext:
    """Return the context of a request, given as Starlette's object or as its ASGI scope."""
    scope: Any = getattr(request, "scope", request)
    state = scope.setdefault("state", {})
    context: RequestContext | None = state.get(CONTEXT_KEY)
    if context is None:
        context = new_context(Headers(scope=scope).get("x-request-id"))
        state[CONTEXT_KEY] = context
    return context


def new_context(sent_id: str | None) -> RequestContext:
    """Make the context of a request whose head is complete, and whose client sent this id."""
    return RequestContext(checked_request_id(sent_id), asyncio.get_running_loop().time())


def checked_request_id(sent_id: str | None) -> str:
    """Keep a client's id if it is fit for headers and logs; else make one, of 128 random bits."""
    return sent_id if sent_id and REQUEST_ID.fullmatch(sent_id) else os.urandom(16).hex()
