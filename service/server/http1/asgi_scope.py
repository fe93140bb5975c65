"""A request's head in, its ASGI scope out, with the request's context in it. Used by
`service.server.http1.connection`.
"""

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from service.context import context_of
from service.server.http1.request_head import RequestHead


class GatewayState(ServerState):
    """What the connections of one process share, and whether that process is about to stop."""

    is_draining = False


class ScopeBuilder:
    """Describes the requests of one connection to the application."""

    def __init__(
        self,
        transport: asyncio.Transport,
        config: Config,
        server_state: GatewayState,
        app_state: dict[str, Any],
    ) -> None:
        self._server_state = server_state
        self._app_state = app_state
        self._root_path = config.root_path
        self._of_connection = {
            "type": "http",
            "asgi": {"version": config.asgi_version, "spec_version": "2.3"},
            "client": get_remote_addr(transport),
            "server": get_local_addr(transport),
            "scheme": "https" if is_ssl(transport) else "http",
            "root_path": config.root_path,
        }

    def build(self, head: RequestHead | None) -> dict[str, Any]:
        """Describe a request; None: one without a valid head, to be answered with a refusal."""
        scope = {
            **self._of_connection,
            "http_version": head.http_version if head else "1.1",
            "method": head.method if head else "-",
            "path": self._root_path + (head.path if head else "/"),
            "raw_path": self._root_path.encode("ascii") + (head.raw_path if head else b"/"),
            "query_string": head.query if head else b"",
            "headers": head.headers if head else [],
            "state": self._app_state.copy(),
        }
        context = context_of(scope)
        context.is_draining = self._server_state.is_draining
        context.reports_disconnect = True
        return scope
