"""ASGI middleware for a path prefix (`FCNSERVE_ROOT_PATH`): a proxy may leave it there or take it
off. Used by `service.app`, outside all that reads a path.
"""

from starlette.types import ASGIApp, Receive, Scope, Send


class WithoutPrefix:
    """Takes a prefix off the paths that have it, and tells FastAPI's documentation of it."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self.app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if path.startswith(f"{self._prefix}/"):
            path = path.removeprefix(self._prefix)
        await self.app({**scope, "path": path, "root_path": self._prefix}, receive, send)
