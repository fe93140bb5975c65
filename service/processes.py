"""Several gateway processes on one socket: kept alive, stopped, and counted together.

Each is spawned by uvicorn, makes the application for itself and takes its part of every bound.
prometheus_client keeps their metrics in the files of one folder, from which each can answer a
scrape for all. Called by `service.gateway`.
"""

import multiprocessing
import os
from pathlib import Path
from socket import socket
from tempfile import TemporaryDirectory
from typing import Any

import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from service import logs
from service.app import create_app
from service.children import dying_with
from service.settings import Settings

# looked for by prometheus_client when it is imported
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
# without a sign of life a process is killed; importing alone may take seconds
HUNG_S = 30


class Processes(Multiprocess):
    """uvicorn's supervisor, which also takes the gauges of processes that are gone out of sums."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket], metrics: Path) -> None:
        super().__init__(config, sockets)
        self._metrics = metrics
        self._pids: set[int | None] = set()

    def keep_subprocess_alive(self) -> None:
        super().keep_subprocess_alive()
        pids = {process.pid for process in self.processes}
        for pid in self._pids - pids:
            mark_process_dead(pid, str(self._metrics))  # type: ignore[no-untyped-call]
        self._pids = pids

    def terminate_all(self) -> None:
        """Stop listening first: nobody would answer who connects from now on."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()


def run_processes(processes: int, options: dict[str, Any]) -> int:
    """Serve until SIGINT or SIGTERM (0), or until a process cannot start."""
    config = uvicorn.Config(
        "service.processes:create",
        factory=True,
        workers=processes,
        timeout_worker_healthcheck=HUNG_S,
        **options,
    )
    with TemporaryDirectory(prefix="fcns-metrics-") as folder:
        os.environ[METRICS_FOLDER] = folder
        supervisor = Processes(config, [config.bind_socket()], Path(folder))
        supervisor.run()
    failed = any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes)
    return STARTUP_FAILURE if failed else 0


def create() -> FastAPI:
    """Make the application; called by uvicorn in each process."""
    end_with_supervisor()
    settings = Settings()
    logs.configure(settings)
    scraped = CollectorRegistry()
    MultiProcessCollector(scraped)  # type: ignore[no-untyped-call]
    return create_app(settings, CollectorRegistry(), scraped)


def end_with_supervisor() -> None:
    """Have the kernel send SIGTERM here when the process above dies, however it dies."""
    supervisor = multiprocessing.parent_process()
    if supervisor is not None and supervisor.pid is not None:
        dying_with(supervisor.pid)()
