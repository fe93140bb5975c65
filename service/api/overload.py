"""Middleware in front of the routes: while the gateway is at capacity, requests for masks get 429.

The routes would answer the same, but only after FastAPI has matched them and checked the options:
twice the CPU time for each refusal, which in an overload the masks lack. API keys are not checked
either. Inside `service.api.telemetry`, which answers with the BusyError that is raised here.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.exchange import IMAGE_ROUTES
from service.pipeline.admission import Admission


class OverloadMiddleware:
    """ASGI middleware that checks the capacity before routing."""

    def __init__(self, app: ASGIApp, admission: Admission) -> None:
        self.app = app
        self.admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in IMAGE_ROUTES:
            self.admission.check_capacity()
        await self.app(scope, receive, send)
