"""A service from outside, second by second, while something else loads it: memory and /readyz."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from loadtest.measure.service import Served
from service.all_in_one.run import is_ready

INTERVAL_S = 1.0


@dataclass(slots=True)
class Watched:
    """A sample a second; `seconds` says when each was taken."""

    seconds: list[float] = field(default_factory=list)
    resident_mb: dict[str, list[float]] = field(default_factory=dict)  # by process
    ready: list[bool] = field(default_factory=list)


@contextmanager
def watching(service: Served) -> Iterator[Watched]:
    """Have a thread take samples until the block is left."""
    watched = Watched()
    stopping = threading.Event()
    started = time.monotonic()

    def watch() -> None:
        while True:
            watched.seconds.append(time.monotonic() - started)
            for name, pids in service.pids.items():
                used_mb = sum(map(resident_bytes, pids)) / 1e6
                watched.resident_mb.setdefault(name, []).append(used_mb)
            watched.ready.append(is_ready(service.gateway_url))
            if stopping.wait(INTERVAL_S):
                return

    thread = threading.Thread(target=watch, name="watch")
    thread.start()
    try:
        yield watched
    finally:
        stopping.set()
        thread.join()


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024
