"""One request and its answer, as they pass the middleware: status, model and duration come out.

Made by `service.api.telemetry`, which also sends problems through it.
"""

import time

from starlette.types import Message, Receive, Scope, Send

from handlers.shared.errors import ProblemError
from service.context import context_of
from service.problem_response import problem_response
from service.tracing.traceparent import read_traceparent

# status for the log and the metrics of a request whose client disconnected, as nginx has it
CLIENT_CLOSED_REQUEST = 499
IMAGE_ROUTES = ("/v1/segment", "/v1/segment/batch")


class Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._started_s = time.perf_counter()
        self.context = context_of(scope)
        if trace := read_traceparent(scope["headers"]):
            self.context.trace, self.context.trace_id = trace, trace.trace_id
        self.status = CLIENT_CLOSED_REQUEST  # until an answer begins
        self.model = ""  # name@digest

    async def send(self, message: Message) -> None:
        """Pass on a part of the answer; its head gets the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message["headers"], (b"x-request-id", self.context.request_id.encode())]
            if timing := self.context.stages.server_timing():
                headers.append((b"server-timing", timing.encode()))
            self.model = dict(headers).get(b"x-model", b"").decode()
            message = {**message, "headers": headers}
        await self._send(message)

    async def send_problem(self, problem: ProblemError, receive: Receive) -> None:
        """Answer with a problem, unless an answer has begun."""
        self.context.problem_code = problem.code
        if self.status == CLIENT_CLOSED_REQUEST:
            await problem_response(problem)(self._scope, receive, self.send)

    @property
    def client(self) -> str:
        """The address that the connection comes from, a proxy's where there is one; "" of a
        socket's.
        """
        address = self._scope.get("client")
        return str(address[0]) if address else ""

    @property
    def method(self) -> str:
        return str(self._scope["method"])

    @property
    def path(self) -> str:
        return str(self._scope["path"])

    @property
    def route(self) -> str:
        """The route's pattern. Paths that match none share one name: labels must not grow."""
        if self.path in IMAGE_ROUTES:  # known before the router has run
            return self.path
        return getattr(self._scope.get("route"), "path", "unmatched")

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._started_s

    @property
    def has_images(self) -> bool:
        """Whether the request is one for masks."""
        return self.method == "POST" and self.path in IMAGE_ROUTES
