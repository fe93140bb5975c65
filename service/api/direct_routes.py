"""Middleware around FastAPI: it answers `POST /v1/segment` and its batch itself.

`service.api.routes` declares both for FastAPI, which documents them; its routing, dependencies and
wrappers take about half as long as all steps of a small photo. Here the same checks run in the same
order: API key and rate, each option once, the query's model. A request that is not exactly one of
these two passes on to FastAPI, whose routes answer it in the same way: a test compares both.

While the gateway is at capacity, requests for masks get 429 before all these checks, API keys
included: each refusal takes CPU time, which in an overload the masks lack. Installed by
`service.app`, inside `service.api.telemetry`, which answers what is raised here.
"""

from collections.abc import Awaitable, Callable, Mapping

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.components import Components
from service.auth.authenticator import Authenticator
from service.pipeline.admission import Admission
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

    def __init__(
        self,
        app: ASGIApp,
        admission: Admission,
        authenticator: Authenticator | None,
        components: Callable[[], Components],
    ) -> None:
        """Take, beside what it checks with, a function that returns the components of a gateway
        that has started.
        """
        self.app = app
        self.admission = admission
        self.authenticator = authenticator
        self.components = components

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = answer_for(scope)
        if answer is None:
            await self.app(scope, receive, send)
            return
        self.admission.check_capacity()
        request = Request(scope, receive)
        if self.authenticator is not None:
            self.authenticator.check_key_and_rate(request)
        query = read_query(scope["query_string"])
        response = await answer(self.components().segmenter, request, query)
        await response(scope, receive, send)


def answer_for(scope: Scope) -> Answer | None:
    """Return the function that answers a request; None for all that FastAPI routes."""
    if scope["type"] != "http" or scope["method"] != "POST":
        return None
    path, prefix = scope["path"], scope.get("root_path")
    if prefix and path.startswith(prefix):  # FastAPI's routes are below it
        return None
    return ANSWERS.get(path)
