"""Several gateway processes on one socket: started, replaced, stopped, and measured together.

Each process builds its own application and takes its part of every limit. prometheus_client keeps
their metrics in the files of one folder, from which each process answers a scrape for all. Called
by `service.server.run`.

In place of uvicorn's own supervisor, whose processes are used: it waits for ever for a process that
hangs at a stop, ignores a second signal, and has no hook for the metrics of a dead process.
"""

import os
import signal
import threading
import time
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import structlog
import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.config import STARTUP_FAILURE

from service.auth.shared_table import SharedTable
from service.metrics.files import metrics_folder
from service.server.gateway_process import (
    LISTENER_DELAY_S,
    METRICS_FOLDER,
    GatewayProcess,
    build_app,
)
from service.server.http1.connection_limits import LAST_REQUEST_S, LINGER_S
from service.server.listeners import drop_new_connections
from service.server.server import STOP_SIGNALS
from service.settings import Settings

# a process that does not answer uvicorn's ping for so long is killed; imports alone take seconds
HUNG_AFTER_S = 30
POLL_S = 0.5
# beyond the time that draining takes; a process that needs longer hangs
STOP_MARGIN_S = LISTENER_DELAY_S + LAST_REQUEST_S + LINGER_S + 2

logger = structlog.get_logger("fcnserve.gateway")


class Supervisor:
    """Starts the processes, replaces those that die or hang, and stops all of them."""

    def __init__(self, config: uvicorn.Config, settings: Settings, metrics: Path | None) -> None:
        self._config = config
        self._drain_delay_s = settings.drain_delay_s
        self._stop_s = settings.drain_delay_s + settings.shutdown_grace_s + STOP_MARGIN_S
        self._metrics = metrics
        self._listener = config.bind_socket()
        self._processes: list[GatewayProcess] = []
        self._is_stopping = threading.Event()
        self._is_forced = threading.Event()

    def run(self) -> int:
        """Serve until SIGINT, SIGTERM or SIGHUP (0; 1 if a second signal ended it), or until a
        process cannot start.
        """
        for signum in STOP_SIGNALS:
            signal.signal(signum, self._handle_signal)
        self._processes = [self._start() for _ in range(self._config.workers)]
        can_start = True
        while can_start and not self._is_stopping.wait(POLL_S):
            can_start = all(self._keep_alive(index) for index in range(len(self._processes)))
        self._stop()
        if not can_start:
            return STARTUP_FAILURE
        return 1 if self._is_forced.is_set() else 0

    def _start(self) -> GatewayProcess:
        process = GatewayProcess(self._config, [self._listener], self._drain_delay_s)
        process.start()
        return process

    def _keep_alive(self, index: int) -> bool:
        """Replace a process that died or hangs; return whether the application can start."""
        process = self._processes[index]
        if process.is_alive(timeout=HUNG_AFTER_S):
            return True
        process.kill()
        process.join()
        if self._metrics:  # removes its gauges from the sums
            mark_process_dead(process.pid, str(self._metrics))  # type: ignore[no-untyped-call]
        logger.error("a gateway process died", pid=process.pid, exit_code=process.exitcode)
        if process.exitcode == STARTUP_FAILURE:
            return False
        if not self._is_stopping.is_set():
            self._processes[index] = self._start()
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


def supervise(settings: Settings, options: dict[str, Any]) -> int:
    """Serve; returns the exit code."""
    application = partial(build_app, SharedTable())
    config = uvicorn.Config(
        application, factory=True, workers=settings.gateway_processes, **options
    )
    with metrics_folder(settings.gateway_processes) as folder:
        os.environ.pop(METRICS_FOLDER, None)
        if folder:
            os.environ[METRICS_FOLDER] = str(folder)
        return Supervisor(config, settings, folder).run()
