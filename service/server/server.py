"""uvicorn's server, with draining at a stop.

uvicorn stops listening at once, so that a load balancer's requests are refused before its probe of
`/readyz` fails. This server first has `/readyz` fail (`drain_delay_s`), then stops listening, and
then completes the answers in flight (`shutdown_grace_s`). Called by `service.server.run` and
`service.server.gateway_process`.
"""

import asyncio
import gc
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

import structlog
import uvicorn

from service.multiprocess.group import HEARTBEAT, ProcessGroup
from service.server.acceptor import Acceptor
from service.server.http1.asgi_scope import GatewayState
from service.server.http1.connection import Connection
from service.server.http1.connection_limits import ConnectionLimits
from service.server.http1.open_connections import OpenConnections
from service.server.listeners import accept_waiting, drop_new_connections, duplicate
from service.settings import Settings

KEEP_ALIVE_S = 75
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
HEARTBEAT_S = 1.0

logger = structlog.get_logger("fcnserve.gateway")


def uvicorn_options(settings: Settings, processes: int = 1) -> dict[str, Any]:
    limits = ConnectionLimits.of(settings, processes)
    return {
        "host": settings.host,
        "port": settings.port,
        "loop": "uvloop",
        "http": partial(Connection, limits, OpenConnections(limits.max_connections)),
        "ws": "none",
        "proxy_headers": bool(settings.trusted_proxies),  # a client's address, for the log
        "forwarded_allow_ips": list(settings.trusted_proxies),
        "access_log": False,  # telemetry writes one line a request, with its stage times
        "log_config": None,
        "server_header": False,
        "timeout_keep_alive": KEEP_ALIVE_S,
        "timeout_graceful_shutdown": settings.shutdown_grace_s,
    }


def freeze_garbage_collector() -> None:
    """Exempt all objects so far from garbage collection: traversing modules and routes again and
    again takes tens of milliseconds, during requests.
    """
    gc.collect()
    gc.freeze()


class Server(uvicorn.Server):
    """One process's server: the first of `signals` makes it drain, the second ends it at once."""

    def __init__(
        self,
        config: uvicorn.Config,
        drain_delay_s: float,
        signals: Sequence[signal.Signals] = STOP_SIGNALS,
        group: ProcessGroup | None = None,
    ) -> None:
        """Take, where several processes share the listeners, the group of them."""
        super().__init__(config)
        self._group = group or ProcessGroup()
        self._acceptors: list[Acceptor] = []
        self.server_state: GatewayState = GatewayState()
        self._drain_delay_s = drain_delay_s
        self._signals = signals
        self._stops_listening_at_s = float("inf")

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, with a heartbeat for the supervisor until the last answer is sent."""
        beating = asyncio.create_task(self._beat())
        try:
            await super().serve(sockets)
        finally:
            beating.cancel()

    async def _beat(self) -> None:
        heartbeat = self._group.figure(HEARTBEAT)
        while True:
            heartbeat.own += 1
            await asyncio.sleep(HEARTBEAT_S)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, and accept connections: shared listeners' as `Acceptor` does."""
        await super().startup(None if sockets is None else [])
        self._group.join()
        for listener in sockets or []:
            listener.listen(self.config.backlog)  # the first process's call counts
            acceptor = Acceptor(
                listener, self._group, lambda: len(self.server_state.connections), self._connect
            )
            acceptor.start()
            self._acceptors.append(acceptor)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals; unlike uvicorn, do not raise them again afterwards."""
        before = {signum: signal.signal(signum, self.handle_exit) for signum in self._signals}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a handler
        if self.should_exit or self._stops_listening_at_s < float("inf"):
            self.should_exit = self.force_exit = True
        elif self.started:
            self.drain()
        else:
            self.should_exit = True

    def drain(self) -> None:
        """Have `/readyz` fail from now on; stop listening after the delay."""
        self.server_state.is_draining = True
        self._stops_listening_at_s = time.monotonic() + self._drain_delay_s

    async def on_tick(self, counter: int) -> bool:
        for acceptor in self._acceptors:
            acceptor.count()
        return await super().on_tick(counter) or time.monotonic() >= self._stops_listening_at_s

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve the connections that are complete, accept no more, and wait for the answers in
        flight.
        """
        logger.info("draining", connections=len(self.server_state.connections))
        self.server_state.is_draining = True
        for client in self._stop_listening(sockets):
            await self._connect(client)
        await super().shutdown(sockets)
        if self.force_exit:  # where uvicorn leaves tasks and lifespan to the end of the loop
            for task in self.server_state.tasks:
                task.cancel()
            await self.lifespan.shutdown()

    def _stop_listening(self, shared: Sequence[socket.socket] | None) -> list[socket.socket]:
        """Close the listeners; return the connections that were complete and not accepted.

        Of shared listeners the supervisor drops new connections for all processes.
        """
        self._group.leave()
        for acceptor in self._acceptors:
            acceptor.stop()
        if shared is not None:
            return [client for listener in shared for client in accept_waiting(listener)]
        duplicates = [duplicate(one) for server in self.servers for one in server.sockets]
        for server in self.servers:
            server.close()
        for listener in duplicates:
            drop_new_connections(listener)
        return [client for listener in duplicates for client in accept_waiting(listener)]

    async def _connect(self, client: socket.socket) -> None:
        """Serve a connection that has been accepted."""
        await asyncio.get_running_loop().connect_accepted_socket(self._connection, client)

    def _connection(self) -> asyncio.Protocol:
        config = self.config
        made: asyncio.Protocol = config.http_protocol_class(  # type: ignore[call-arg]  # as uvicorn
            config=config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made
