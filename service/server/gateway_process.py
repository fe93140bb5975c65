"""One gateway process under the supervisor: spawned, it builds the application and serves.

Started by `service.server.supervisor`; `build_app` is called by uvicorn in the process.
"""

import logging
import multiprocessing
import os
import signal
from socket import socket

import uvicorn
from prometheus_client import PLATFORM_COLLECTOR, CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp
from uvicorn.supervisors.multiprocess import Process

from service import logs
from service.app import create_app
from service.auth.shared_table import SharedTable
from service.metrics.files import reserve_files
from service.metrics.process_metrics import ProcessesCollector
from service.multiprocess.group import HEARTBEAT, ProcessGroup
from service.server.server import Server, freeze_garbage_collector
from service.settings import Settings
from service.subprocesses import parent_death_signal

# read by prometheus_client when it is imported
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
# from the supervisor's listener dropping new connections to each process closing its own
LISTENER_DELAY_S = 0.5
# polls of the supervisor, twice a second, without a heartbeat; imports alone take seconds
MAX_SILENT_POLLS = 60


class GatewayProcess(Process):
    """uvicorn's child process, with this gateway's server in it."""

    def __init__(
        self,
        config: uvicorn.Config,
        sockets: list[socket],
        drain_delay_s: float,
        group: ProcessGroup,
    ) -> None:
        self._drain_delay_s = drain_delay_s
        self._group = group
        self._last_beat = 0.0
        self._silent_polls = 0
        super().__init__(config, sockets)

    @property
    def server(self) -> Server:
        if not isinstance(self._server, Server):
            delay_s = self._drain_delay_s + LISTENER_DELAY_S
            self._server = Server(self.config, delay_s, [signal.SIGTERM], self._group)
        return self._server

    def runs(self) -> bool:
        """Return whether the process is alive and its event loop turns; called in each poll.

        Polls are counted and not seconds: the supervisor may have been stopped together with it.
        """
        beat = self._group.figure(HEARTBEAT).own
        self._silent_polls = 0 if beat != self._last_beat else self._silent_polls + 1
        self._last_beat = beat
        return self.process.is_alive() and self._silent_polls < MAX_SILENT_POLLS

    def target(self, sockets: list[socket] | None = None) -> None:
        """Serve. The terminal's signals are for the supervisor, which then sends SIGTERM."""
        for signum in (signal.SIGINT, signal.SIGHUP):
            signal.signal(signum, signal.SIG_IGN)
        try:
            super().target(sockets)
        finally:
            logging.shutdown()  # what waits; multiprocessing runs no `atexit`


def build_app(rates: SharedTable, group: ProcessGroup) -> ASGIApp:
    """Make the application; called by uvicorn in each process."""
    end_with_supervisor()
    settings = Settings()
    logs.configure(settings)
    scraped = CollectorRegistry()  # without a folder it stays empty, for one process is not all
    if METRICS_FOLDER in os.environ:
        reserve_files()
        MultiProcessCollector(scraped)  # type: ignore[no-untyped-call]
        scraped.register(PLATFORM_COLLECTOR)
        scraped.register(ProcessesCollector(group.pids))
    app = create_app(settings, CollectorRegistry(), scraped, rates, group)
    freeze_garbage_collector()
    return app


def end_with_supervisor() -> None:
    """Have the kernel send SIGTERM to this process when the supervisor dies, however it dies."""
    supervisor = multiprocessing.parent_process()
    if supervisor is not None and supervisor.pid is not None:
        parent_death_signal(supervisor.pid)()
