"""A request's head in, its ASGI scope out, with the request's context in it. Used by
`service.server.http1.connection`.
"""

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from handlers.shared.errors import ProblemError
from service.context import CONTEXT_KEY, RequestContext, new_context
from service.server.http1.answer import header_lines
from service.server.http1.request_head import RequestHead

Headers = list[tuple[bytes, bytes]]


class GatewayState(ServerState):
    """What the connections of one process share, and whether that process is about to stop."""

    is_draining = False
    server_lines = b""

    @property
    def default_headers(self) -> Headers:
        """The headers that all answers have; uvicorn sets them once a second."""
        return self._default_headers

    @default_headers.setter
    def default_headers(self, headers: Headers) -> None:
        self._default_headers = headers
        self.server_lines = header_lines(headers)


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
        self._raw_root_path = config.root_path.encode("ascii")
        self._of_connection = {
            "type": "http",
            "asgi": {"version": config.asgi_version, "spec_version": "2.3"},
            "client": get_remote_addr(transport),
            "server": get_local_addr(transport),
            "scheme": "https" if is_ssl(transport) else "http",
            "root_path": config.root_path,
        }

    def build(
        self, head: RequestHead, refusal: ProblemError | None
    ) -> tuple[dict[str, Any], RequestContext]:
        """Describe a request, in ASGI's words and in ours; `refusal` is its answer, if any."""
        context = new_context(head.request_id.decode("latin-1"))
        context.refusal = refusal
        context.is_draining = self._server_state.is_draining
        scope = {
            **self._of_connection,
            "http_version": head.http_version,
            "method": head.method,
            "path": self._root_path + head.path,
            "raw_path": self._raw_root_path + head.raw_path,
            "query_string": head.query,
            "headers": head.headers,
            "state": {**self._app_state, CONTEXT_KEY: context},
        }
        return scope, context
