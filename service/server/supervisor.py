"""Several gateway processes on one socket: kept alive, stopped, and counted together.

Each is spawned, makes the application for itself and takes its part of every bound.
prometheus_client keeps their metrics in the files of one folder, from which each can answer a
scrape for all. Called by `service.server.run`.
"""

import multiprocessing
import os
import signal
import threading
import time
from functools import partial
from pathlib import Path
from socket import socket
from types import FrameType
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Process

from service import logs
from service.app import create_app
from service.auth.shared_table import SharedTable
from service.metrics.files import metrics_folder, reserve_files
from service.server.connection_limits import LAST_WORD_S, PARTING_S
from service.server.server import STOP_SIGNALS, Server, shorten_collections, turn_deaf
from service.settings import Settings
from service.subprocesses import parent_death_signal

# looked for by prometheus_client when it is imported
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
# without a sign of life a process is killed; importing alone may take seconds
HUNG_S = 30
POLL_S = 0.5
# from the listener turning deaf, for all processes, to each process no longer looking at it
DEAF_S = 0.5
# beyond what a process takes to drain, after which it must hang
STOP_MARGIN_S = DEAF_S + LAST_WORD_S + PARTING_S + 2

logger = structlog.get_logger("fcnserve.gateway")


class GatewayProcess(Process):
    """uvicorn's child process, with our server in it."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket], drain_delay_s: float) -> None:
        self._drain_delay_s = drain_delay_s
        super().__init__(config, sockets)

    @property
    def server(self) -> Server:
        if not isinstance(self._server, Server):
            delay_s = self._drain_delay_s + DEAF_S
            self._server = Server(self.config, delay_s, [signal.SIGTERM])
        return self._server

    def target(self, sockets: list[socket] | None = None) -> None:
        """Serve; what the terminal says is for the process above, which then sends SIGTERM."""
        for signum in (signal.SIGINT, signal.SIGHUP):
            signal.signal(signum, signal.SIG_IGN)
        super().target(sockets)


class Supervisor:
    """Starts the processes, replaces those that die or hang, and has all of them drain."""

    def __init__(self, config: uvicorn.Config, settings: Settings, metrics: Path | None) -> None:
        self._config = config
        self._drain_delay_s = settings.drain_delay_s
        self._stop_s = settings.drain_delay_s + settings.shutdown_grace_s + STOP_MARGIN_S
        self._metrics = metrics
        self._listener = config.bind_socket()
        self._processes: list[GatewayProcess] = []
        self._is_told = threading.Event()
        self._is_hurried = threading.Event()

    def run(self) -> int:
        """Serve until SIGINT, SIGTERM or SIGHUP (0; 1 if a second one had to end it), or until a
        process cannot start.
        """
        for signum in STOP_SIGNALS:
            signal.signal(signum, self._hear)
        self._processes = [self._start() for _ in range(self._config.workers)]
        can_start = True
        while can_start and not self._is_told.wait(POLL_S):
            can_start = all(self._keep_alive(place) for place in range(len(self._processes)))
        self._stop()
        if not can_start:
            return STARTUP_FAILURE
        return 1 if self._is_hurried.is_set() else 0

    def _start(self) -> GatewayProcess:
        process = GatewayProcess(self._config, [self._listener], self._drain_delay_s)
        process.start()
        return process

    def _keep_alive(self, place: int) -> bool:
        """Replace a process that is gone; tell whether there is any sense in that."""
        process = self._processes[place]
        if process.is_alive(timeout=HUNG_S):
            return True
        process.kill()
        process.join()
        if self._metrics:  # out of the sums with its gauges
            mark_process_dead(process.pid, str(self._metrics))  # type: ignore[no-untyped-call]
        logger.error("a gateway process died", pid=process.pid, exit_code=process.exitcode)
        if process.exitcode == STARTUP_FAILURE:
            return False
        if not self._is_told.is_set():
            self._processes[place] = self._start()
        return True

    def _stop(self) -> None:
        """Have all drain, and wait; a second signal kills them."""
        deadline = time.monotonic() + self._stop_s
        for process in self._processes:
            process.terminate()
        self._is_hurried.wait(self._drain_delay_s)
        turn_deaf(self._listener)
        self._listener.close()
        for process in self._processes:
            process.process.join(max(0.0, deadline - time.monotonic()))
            process.process.kill()
            process.process.join()

    def _hear(self, _signum: int, _frame: FrameType | None) -> None:
        if self._is_told.is_set():
            self._is_hurried.set()
            for process in self._processes:
                process.process.kill()
        self._is_told.set()


def supervise(settings: Settings, options: dict[str, Any]) -> int:
    """Serve; returns the exit code."""
    application = partial(create, SharedTable())
    config = uvicorn.Config(
        application, factory=True, workers=settings.gateway_processes, **options
    )
    with metrics_folder(settings.gateway_processes) as folder:
        os.environ.pop(METRICS_FOLDER, None)
        if folder:
            os.environ[METRICS_FOLDER] = str(folder)
        return Supervisor(config, settings, folder).run()


def create(rates: SharedTable) -> FastAPI:
    """Make the application; called by uvicorn in each process."""
    end_with_supervisor()
    settings = Settings()
    logs.configure(settings)
    scraped = CollectorRegistry()  # with no folder it stays empty: one process is not all
    if METRICS_FOLDER in os.environ:
        reserve_files()
        MultiProcessCollector(scraped)  # type: ignore[no-untyped-call]
    app = create_app(settings, CollectorRegistry(), scraped, rates)
    shorten_collections()
    return app


def end_with_supervisor() -> None:
    """Have the kernel send SIGTERM here when the process above dies, however it dies."""
    supervisor = multiprocessing.parent_process()
    if supervisor is not None and supervisor.pid is not None:
        parent_death_signal(supervisor.pid)()
