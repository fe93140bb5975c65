"""Worker and gateway as children of `fcnserve serve`: started, started anew when they end, stopped.

What ends before the service has been ready once will not fare better the next time: its last log
lines say what to mend. Later, ending is an accident, and here no container runtime brings it back.
"""

import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import structlog

from service.settings import ROOT
from service.subprocesses import Subprocess, running

MOST_RESTARTS = 5
FIRST_PAUSE_S = 1.0
# of running, after which earlier ends count no more
HEALTHY_S = 300.0

logger = structlog.get_logger("fcnserve.serve")


class SubserviceEndedError(RuntimeError):
    """Worker or gateway ended by itself; its last log lines say why."""


@dataclass(slots=True)
class Restarts:
    """How often something that ends is started again, and after which pause."""

    ends: int = 0

    def pause_s(self, ran_s: float) -> float | None:
        """Seconds until the next start, twice as many each time; None where it is to stay ended."""
        self.ends = 1 if ran_s >= HEALTHY_S else self.ends + 1
        return FIRST_PAUSE_S * 2 ** (self.ends - 1) if self.ends <= MOST_RESTARTS else None


class Subservice:
    """One `fcnserve` command, kept running."""

    def __init__(self, name: str, environment: Mapping[str, str], grace_s: float) -> None:
        """Take the command's name, and how long it may take to end when it is told to."""
        self.name = name
        self.child: Subprocess | None = None
        self._environment = environment
        self._grace_s = grace_s
        self._restarts = Restarts()
        self._stack = ExitStack()
        self._starts_at = 0.0

    def start(self) -> None:
        self._starts_at = time.monotonic()
        self.child = self._stack.enter_context(
            running(command(self.name), self._environment, ROOT, self._grace_s)
        )

    def stop(self) -> None:
        """End it, with all that it has started."""
        self._stack.close()
        self.child = None

    def keep(self, *, may_restart: bool) -> None:
        """Start it again if it has ended, once its pause is over; raises HalfEndedError where it
        is to stay ended.
        """
        if self.child is None:
            if time.monotonic() >= self._starts_at:
                self.start()
            return
        if (code := self.child.exit_code()) is None:
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


def command(name: str) -> list[str]:
    return [sys.executable, "-m", "service.cli.main", name]
