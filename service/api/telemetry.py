"""Around every request: its id, its clock, one log line, its metrics, and an answer come what
may.
"""

import asyncio
import time

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from handlers.shared.errors import ProblemError
from service.context import context_of
from service.errors import DrainingError, InternalError
from service.metrics.gateway import Metrics
from service.metrics.requests import CLIENT_GONE as CLIENT_GONE_REASON
from service.problem_response import problem_response

# what nginx calls it when a client leaves before its answer
CLIENT_GONE = 499
# what uvicorn cancels, at the end of shutdown_grace_s
TOO_LATE = "this gateway had to stop before it had an answer; send it again"
QUIET_ROUTES = ("/livez", "/readyz", "/metrics")
IMAGE_ROUTES = ("/v1/segment", "/v1/segment/batch")

logger = structlog.get_logger("fcnserve.access")


class Telemetry:
    """ASGI middleware around every request."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange(scope, send)
        try:
            if refusal := exchange.context.refusal:
                await exchange.refuse(refusal, receive)
            else:
                await self.app(scope, receive, exchange.send)
        except ClientDisconnect:
            pass  # nobody is left to be answered
        except ProblemError as problem:  # of the door's; those of routes are answered by FastAPI
            await exchange.refuse(problem, receive)
        except asyncio.CancelledError:
            await exchange.refuse(DrainingError(TOO_LATE), receive)
        except Exception as error:
            logger.exception(
                "request failed", request_id=exchange.context.request_id, exc_info=error
            )
            await exchange.fail(receive)
        finally:
            exchange.log()
            exchange.count(self.metrics)


class Exchange:
    """One request and its answer, as they pass through the middleware."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._started = time.perf_counter()
        self.context = context_of(scope)
        self.status = CLIENT_GONE
        self.model = ""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self.context.request_id
            self.model = headers.get("X-Model", "")
            if timing := self.context.stages.server_timing():
                headers["Server-Timing"] = timing
        await self._send(message)

    async def fail(self, receive: Receive) -> None:
        """Answer for a request on which the gateway itself failed."""
        error = InternalError("the gateway failed on this request; its log has the reason")
        await self.refuse(error, receive)

    async def refuse(self, problem: ProblemError, receive: Receive) -> None:
        """Answer for a request that no route could, if nothing has been sent yet."""
        self.context.problem_code = problem.code
        if self.status == CLIENT_GONE:
            await problem_response(problem)(self._scope, receive, self.send)

    def log(self) -> None:
        if self.route in QUIET_ROUTES:
            return
        logger.info(
            "request",
            method=self._scope["method"],
            route=self.route,
            status=self.status,
            ms=round(self.seconds * 1000, 1),
            request_id=self.context.request_id,
            **{name: value for name, value in self._seldom.items() if value},
            **{verb: round(ms, 1) for verb, ms in self.context.stages.ms.items()},
        )

    def count(self, metrics: Metrics) -> None:
        """Count the request, and the images that it leaves without a result; those of a batch that
        was answered are counted one by one where they end.
        """
        metrics.requests.observe(self.route, self.status, self.code, self.seconds)
        reason = self.code or (CLIENT_GONE_REASON if self.status == CLIENT_GONE else "")
        if reason and self.route in IMAGE_ROUTES and self._scope["method"] == "POST":
            metrics.requests.reject(reason, self.context.image_count)

    @property
    def _seldom(self) -> dict[str, str]:
        """What only some log lines have."""
        return {"code": self.code, "key": self.context.key_name, "model": self.model}

    @property
    def route(self) -> str:
        """The route's pattern; paths that match none share one name, or labels would not end."""
        if self._scope["path"] in IMAGE_ROUTES:  # the door asks before there is a route
            return str(self._scope["path"])
        route = self._scope.get("route")
        return getattr(route, "path", "unmatched")

    @property
    def code(self) -> str:
        return self.context.problem_code

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._started
