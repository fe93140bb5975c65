"""Worker and gateway as subprocesses of `fcnserve serve`: started, restarted, stopped.

A subservice that ends before the service was ever ready is not restarted: it would fail again, and
its last log lines give the reason. One that ends later is restarted, since no container runtime
does it here. Called by `service.all_in_one.run`; load tests use the environment and the command.

Libraries: honcho ends all processes when one ends; supervisord restarts, but needs a
configuration file, and judges a start by the seconds that it ran, not by readiness.
"""

import os
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import structlog

from service.ports import free_ports
from service.settings import ROOT, Settings
from service.subprocesses import Subprocess, running

MAX_RESTARTS = 5
FIRST_PAUSE_S = 1.0
# a subservice that ran for so long starts with a fresh count of restarts
HEALTHY_S = 300.0

logger = structlog.get_logger("fcnserve.serve")


class SubserviceEndedError(RuntimeError):
    """Worker or gateway ended by itself; its last log lines give the reason."""


@dataclass(slots=True)
class Restarts:
    """Counts how often a subservice ended, and computes the pause before its restart."""

    ends: int = 0

    def pause_s(self, ran_s: float) -> float | None:
        """Give the seconds until the next start, doubled each time; None after MAX_RESTARTS."""
        self.ends = 1 if ran_s >= HEALTHY_S else self.ends + 1
        return FIRST_PAUSE_S * 2 ** (self.ends - 1) if self.ends <= MAX_RESTARTS else None


class Subservice:
    """One `fcnserve` command, kept running."""

    def __init__(self, name: str, environment: Mapping[str, str], grace_s: float) -> None:
        """Take the command's name, and the seconds within which it must end after SIGTERM."""
        self.name = name
        self.process: Subprocess | None = None
        self._environment = environment
        self._grace_s = grace_s
        self._restarts = Restarts()
        self._stack = ExitStack()
        self._starts_at = 0.0

    def start(self) -> None:
        self._starts_at = time.monotonic()
        self.process = self._stack.enter_context(
            running(command(self.name), self._environment, ROOT, self._grace_s)
        )

    def stop(self) -> None:
        """End it, with all processes that it has started."""
        self._stack.close()
        self.process = None

    def restart_if_ended(self, *, may_restart: bool) -> None:
        """Start it again if it has ended, once its pause is over; raises SubserviceEndedError where
        it must not or cannot be restarted.
        """
        if self.process is None:
            if time.monotonic() >= self._starts_at:
                self.start()
            return
        if (code := self.process.exit_code()) is None:
            return
        self.stop()
        pause_s = self._restarts.pause_s(time.monotonic() - self._starts_at)
        if pause_s is None or not may_restart:
            times = f" {self._restarts.ends} times" if may_restart else ""
            raise SubserviceEndedError(
                f"the {self.name} ended by itself{times} (exit code {code}); see above"
            )
        logger.error(
            "it ended by itself and starts anew", half=self.name, exit_code=code, pause_s=pause_s
        )
        self._starts_at = time.monotonic() + pause_s


def subservice_environment(settings: Settings, port: int) -> dict[str, str]:
    """Give TorchServe free ports, so that several copies of the service run side by side."""
    (worker_port,) = free_ports(1)
    return os.environ | {
        "FCNSERVE_PORT": str(port),
        # absolute, since subservices run in another folder
        "FCNSERVE_MODEL_STORE": str(settings.model_store.absolute()),
        "FCNSERVE_WORKER_HOST": "127.0.0.1",
        "FCNSERVE_WORKER_PORT": str(worker_port),
        "FCNSERVE_WORKER_METRICS_PORT": "0",
        "FCNSERVE_WORKER_STATUS_PORT": "0",
        "FCNSERVE_TORCHSERVE_URL": f"http://127.0.0.1:{worker_port}",
    }


def command(name: str) -> list[str]:
    return [sys.executable, "-m", "service.cli.main", name]
