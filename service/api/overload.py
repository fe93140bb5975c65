"""In front of the routes: while the house is full, who brings photos is told so at once.

The routes would say the same, but only after FastAPI has found them and checked the options: twice
the work for each refusal, which in an overload the masks lack. API keys are not asked for either.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.telemetry import IMAGE_ROUTES
from service.pipeline.admission import Admission


class OverloadMiddleware:
    """ASGI middleware, inside Telemetry, which answers with the BusyError that is raised here."""

    def __init__(self, app: ASGIApp, admission: Admission) -> None:
        self.app = app
        self.admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in IMAGE_ROUTES:
            self.admission.check_capacity()
        await self.app(scope, receive, send)
