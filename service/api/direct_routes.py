"""Middleware around the router: it answers `POST /v1/segment` and its batch itself.

`service.api.routes` declares both for FastAPI, which documents them; its routing, dependencies and
wrappers take about half as long as all steps of a small photo. Here the same checks run in the same
order: API key and rate, each option once, the query's model. A request that is not exactly one of
these two passes on to FastAPI, whose routes answer it in the same way: a test compares both.
Installed by `service.app`, inside all other middleware.
"""

from collections.abc import Awaitable, Callable, Mapping

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api import problem_handlers
from service.api.components import components_of
from service.auth.authenticator import Authenticator
from service.pipeline.batch import segment_batch
from service.pipeline.query import SegmentQuery, read_query
from service.pipeline.segment import Segmenter

Answer = Callable[[Segmenter, Request, SegmentQuery], Awaitable[Response]]

ANSWERS: Mapping[str, Answer] = {
    "/v1/segment": Segmenter.segment,
    "/v1/segment/batch": segment_batch,
}


class DirectRoutes:
    """ASGI middleware that answers requests for masks."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator | None) -> None:
        self.app = app
        self.authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = answer_for(scope)
        if answer is None:
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await self._response(request, answer)
        except problem_handlers.HANDLED_BY_FASTAPI as error:
            response = await problem_handlers.answer(request, error)
        await response(scope, receive, send)

    async def _response(self, request: Request, answer: Answer) -> Response:
        if self.authenticator is not None:
            await self.authenticator.check_key_and_rate(request)
        query = read_query(request.scope["query_string"])
        return await answer(components_of(request.app).segmenter, request, query)


def answer_for(scope: Scope) -> Answer | None:
    """Return the function that answers a request; None for all that FastAPI routes."""
    if scope["type"] != "http" or scope["method"] != "POST" or scope.get("root_path"):
        return None
    return ANSWERS.get(scope["path"])
