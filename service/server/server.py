"""uvicorn, as this house runs it: one that drains when it is told to stop.

uvicorn stops listening at once; whoever sends requests here would be refused before having heard
that this gateway goes. So at first `/readyz` says it (`drain_delay_s`), then nobody else is let in,
and then those who wait get their answers (`shutdown_grace_s`). Called by `service.server.run` and
`service.server.supervisor`.
"""

import asyncio
import ctypes
import gc
import os
import signal
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Any

import structlog
import uvicorn

from service.server.connection import Connection, GatewayState
from service.server.connection_limits import ConnectionLimits
from service.server.open_connections import OpenConnections
from service.settings import Settings

KEEP_ALIVE_S = 75
# linux/filter.h: a packet filter of one instruction, which keeps 0 bytes of each packet
SO_ATTACH_FILTER, BPF_RET = 26, 0x06
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

logger = structlog.get_logger("fcnserve.gateway")


def uvicorn_options(settings: Settings) -> dict[str, Any]:
    limits = ConnectionLimits.of(settings)
    return {
        "host": settings.host,
        "port": settings.port,
        "loop": "uvloop",
        "http": partial(Connection, limits, OpenConnections(limits.max_connections)),
        "ws": "none",
        "access_log": False,  # telemetry writes one line a request, with its stage times
        "log_config": None,
        "server_header": False,
        "timeout_keep_alive": KEEP_ALIVE_S,
        "timeout_graceful_shutdown": settings.shutdown_grace_s,
    }


def shorten_collections() -> None:
    """Tell the garbage collector that what has been made so far stays: looking through modules and
    routes again and again takes tens of milliseconds, in the midst of requests.
    """
    gc.collect()
    gc.freeze()


class Server(uvicorn.Server):
    """One process's server; the first of `signals` makes it drain, the second ends it at once."""

    def __init__(
        self,
        config: uvicorn.Config,
        drain_delay_s: float,
        signals: Sequence[signal.Signals] = STOP_SIGNALS,
    ) -> None:
        super().__init__(config)
        self.server_state: GatewayState = GatewayState()
        self._drain_delay_s = drain_delay_s
        self._signals = signals
        self._drained_at = float("inf")

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Listen to signals; unlike uvicorn, do not die of them afterwards."""
        before = {signum: signal.signal(signum, self.handle_exit) for signum in self._signals}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a handler
        if self.should_exit or self._drained_at < float("inf"):
            self.should_exit = self.force_exit = True
        elif self.started:
            self.drain()
        else:
            self.should_exit = True

    def drain(self) -> None:
        """Say that this gateway goes, to whoever asks; it stops listening after the delay."""
        self.server_state.is_draining = True
        self._drained_at = time.monotonic() + self._drain_delay_s

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or time.monotonic() >= self._drained_at

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let in who has connected already, then nobody; wait for the answers under way."""
        logger.info("draining", connections=len(self.server_state.connections))
        self.server_state.is_draining = True
        loop = asyncio.get_running_loop()
        for client in self._stop_listening(sockets or []):
            await loop.connect_accepted_socket(self._connection, client)
        await super().shutdown(sockets)
        if self.force_exit:  # where uvicorn leaves both to the loop's end
            for task in self.server_state.tasks:
                task.cancel()
            await self.lifespan.shutdown()

    def _stop_listening(self, sockets: Sequence[socket.socket]) -> list[socket.socket]:
        """Close the listeners; return who had connected to them and not been let in yet."""
        last = [duplicate(one) for server in self.servers for one in server.sockets]
        for server in self.servers:
            server.close()
        for shared in sockets:
            shared.close()
        if not sockets:  # else others listen on them, and the process above turns deaf for all
            for listener in last:
                turn_deaf(listener)
        return [client for listener in last for client in connected(listener)]

    def _connection(self) -> asyncio.Protocol:
        config = self.config
        made: asyncio.Protocol = config.http_protocol_class(  # type: ignore[call-arg]  # as uvicorn
            config=config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made


def duplicate(listener: socket.socket) -> socket.socket:
    """Hold on to a listener that its server closes."""
    return socket.socket(fileno=os.dup(listener.fileno()))


def turn_deaf(listener: socket.socket) -> None:
    """Have the kernel drop whoever wants to connect: who still got in between the last `accept` and
    closing would be reset. He tries again after a second, and is refused.
    """
    drop_all = ctypes.create_string_buffer(struct.pack("HBBI", BPF_RET, 0, 0, 0))
    program = struct.pack("HP", 1, ctypes.addressof(drop_all))
    with suppress(OSError):  # not all kernels can; that moment is short
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def connected(listener: socket.socket) -> Iterator[socket.socket]:
    """Accept all who have connected, then close."""
    listener.setblocking(False)
    with listener, suppress(BlockingIOError):
        while True:
            client, _ = listener.accept()
            client.setblocking(False)
            yield client
