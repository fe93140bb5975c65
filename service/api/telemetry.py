"""Middleware around every request: an answer for every exception, then one log line and metrics.

Made by `service.app`, which puts it around all that answers; called by the ASGI server.
"""

import asyncio
from typing import TYPE_CHECKING

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.exchange import CLIENT_CLOSED_REQUEST, Exchange
from service.api.problem_handlers import problem_of
from service.errors import InternalError
from service.metrics.requests import CLIENT_GONE, RequestMetrics

if TYPE_CHECKING:  # imports OpenTelemetry, which may not be installed
    from service.api.spans import RequestSpans

QUIET_ROUTES = ("/livez", "/readyz", "/metrics")

logger = structlog.get_logger("fcnserve.access")


class Telemetry:
    """ASGI middleware that answers what no route could, and observes each answer."""

    def __init__(
        self, app: ASGIApp, metrics: RequestMetrics, spans: "RequestSpans | None" = None
    ) -> None:
        self.app = app
        self.observer = AnswerObserver(metrics)
        self.spans = spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange(scope, send)
        span = self.spans.begin(exchange) if self.spans else None
        try:
            if exchange.context.refusal is not None:
                raise exchange.context.refusal
            await self.app(scope, receive, exchange.send)
        except ClientDisconnect:
            pass  # there is no connection for an answer
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - answered, and logged
            await self._answer(exchange, error, scope, receive)
        finally:
            self.observer.observe(exchange)
            if self.spans and span:
                self.spans.end(span, exchange)

    async def _answer(
        self, exchange: Exchange, error: BaseException, scope: Scope, receive: Receive
    ) -> None:
        """Answer with the problem that an exception means.

        Apart from `__call__`, which is in the exception's traceback: an exception in a variable
        there would keep all of the request in memory until garbage is collected.
        """
        problem = problem_of(error, scope)
        if isinstance(problem, InternalError):
            request_id = exchange.context.request_id
            logger.error("request failed", request_id=request_id, exc_info=error)
        await exchange.send_problem(problem, receive)


class AnswerObserver:
    """Observes each answer once it has ended: the access log and the request metrics."""

    def __init__(self, metrics: RequestMetrics) -> None:
        self._metrics = metrics

    def observe(self, exchange: Exchange) -> None:
        seconds, route = exchange.seconds, exchange.route
        if route not in QUIET_ROUTES:
            self._log(exchange, route, seconds)
        self._count(exchange, route, seconds)

    def _log(self, exchange: Exchange, route: str, seconds: float) -> None:
        context = exchange.context
        fields: dict[str, object] = {
            "method": exchange.method,
            "route": route,
            "status": exchange.status,
            "ms": round(seconds * 1000, 1),
            "request_id": context.request_id,
        }
        if context.trace_id:
            fields["trace_id"] = context.trace_id
        if exchange.client:
            fields["client"] = exchange.client
        if context.problem_code:
            fields["code"] = context.problem_code
        if context.key_name:
            fields["key"] = context.key_name
        if exchange.model:
            fields["model"] = exchange.model
        for verb, ms in context.stages.ms.items():
            fields[verb] = round(ms, 1)
        logger.info("request", **fields)

    def _count(self, exchange: Exchange, route: str, seconds: float) -> None:
        """Count the request, and its images where they get no result; `service.pipeline.batch`
        counts those of an answered batch one by one.
        """
        code = exchange.context.problem_code
        self._metrics.observe(route, exchange.status, code, seconds)
        client_gone = CLIENT_GONE if exchange.status == CLIENT_CLOSED_REQUEST else ""
        reason = code or client_gone
        if reason and exchange.has_images:
            self._metrics.reject(reason, exchange.context.image_count)
