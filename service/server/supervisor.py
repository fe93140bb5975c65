"""Several gateway processes on one socket: started, replaced, stopped, and measured together.

Each process builds its own application; what they have in common is in memory that they share
(`service.multiprocess.group`). prometheus_client keeps their metrics in the files of one folder,
from which each process answers a scrape for all. Called by `service.server.run`.

In place of uvicorn's own supervisor, whose processes are used: it waits for ever for a process that
hangs at a stop, ignores a second signal, has no hook for what a dead process leaves behind, and
takes a process for alive whose event loop is blocked.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

import structlog
import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.config import STARTUP_FAILURE

from service.auth.shared_table import SharedTable
from service.metrics.files import metrics_folder
from service.multiprocess.group import ProcessGroup
from service.server.gateway_process import (
    LISTENER_DELAY_S,
    METRICS_FOLDER,
    GatewayProcess,
    build_app,
)
from service.server.http1.connection_limits import LAST_REQUEST_S, LINGER_S
from service.server.listeners import drop_new_connections
from service.server.server import STOP_SIGNALS, uvicorn_options
from service.settings import Settings

POLL_S = 0.5
# beyond the time that draining takes; a process that needs longer hangs
STOP_MARGIN_S = LISTENER_DELAY_S + LAST_REQUEST_S + LINGER_S + 2

logger = structlog.get_logger("fcnserve.gateway")


class Supervisor:
    """Starts the processes, replaces those that die or hang, and stops all of them."""

    def __init__(
        self,
        settings: Settings,
        processes: int,
        configure: Callable[[ProcessGroup], uvicorn.Config],
        metrics: Path | None,
    ) -> None:
        """Take how many processes to run, what makes the configuration of each, and the folder of
        their metrics.
        """
        self._group = ProcessGroup(settings.models, processes)
        self._configure = configure
        self._drain_delay_s = settings.drain_delay_s
        self._stop_s = settings.drain_delay_s + settings.shutdown_grace_s + STOP_MARGIN_S
        self._metrics = metrics
        self._listener = configure(self._group).bind_socket()
        self._processes: list[GatewayProcess] = []
        self._is_stopping = threading.Event()
        self._is_forced = threading.Event()

    def run(self) -> int:
        """Serve until SIGINT, SIGTERM or SIGHUP (0; 1 if a second signal ended it), or until a
        process cannot start.
        """
        for signum in STOP_SIGNALS:
            signal.signal(signum, self._handle_signal)
        self._processes = [self._start(index) for index in range(self._group.count)]
        can_start = True
        while can_start and not self._is_stopping.wait(POLL_S):
            can_start = all(self._keep_alive(index) for index in range(self._group.count))
        self._stop()
        if not can_start:
            return STARTUP_FAILURE
        return 1 if self._is_forced.is_set() else 0

    def _start(self, index: int) -> GatewayProcess:
        group = self._group.at(index)
        config = self._configure(group)
        process = GatewayProcess(config, [self._listener], self._drain_delay_s, group)
        process.start()
        return process

    def _keep_alive(self, index: int) -> bool:
        """Replace a process that died or hangs; return whether the application can start."""
        process = self._processes[index]
        if process.runs():
            return True
        process.kill()
        process.join()
        self._group.at(index).clear()
        if self._metrics:  # removes its gauges from the sums
            mark_process_dead(process.pid, str(self._metrics))  # type: ignore[no-untyped-call]
        logger.error("a gateway process died", pid=process.pid, exit_code=process.exitcode)
        if process.exitcode == STARTUP_FAILURE:
            return False
        if not self._is_stopping.is_set():
            self._processes[index] = self._start(index)
        return True

    def _stop(self) -> None:
        """Have all processes drain, and wait; a second signal kills them."""
        deadline_s = time.monotonic() + self._stop_s
        for process in self._processes:
            process.terminate()
        self._is_forced.wait(self._drain_delay_s)
        drop_new_connections(self._listener)
        self._listener.close()
        for process in self._processes:
            process.process.join(max(0.0, deadline_s - time.monotonic()))
            process.process.kill()
            process.process.join()

    def _handle_signal(self, _signum: int, _frame: FrameType | None) -> None:
        if self._is_stopping.is_set():
            self._is_forced.set()
            for process in self._processes:
                process.process.kill()
        self._is_stopping.set()


def supervise(settings: Settings, processes: int) -> int:
    """Serve with so many processes; returns the exit code."""
    options, rates = uvicorn_options(settings, processes), SharedTable()
    sys.stdin = None  # uvicorn would open it in each process, which reads none, and leave it open

    def configure(group: ProcessGroup) -> uvicorn.Config:
        return uvicorn.Config(partial(build_app, rates, group), factory=True, **options)

    with metrics_folder(processes) as folder:
        os.environ.pop(METRICS_FOLDER, None)
        if folder:
            os.environ[METRICS_FOLDER] = str(folder)
        return Supervisor(settings, processes, configure, folder).run()
