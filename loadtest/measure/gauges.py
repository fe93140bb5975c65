"""What the machine did meanwhile, second by second: CPU, memory, and what `/metrics` counts.

Process ids by name and a gateway's address in, samples out. Where the service is elsewhere, the
client's own processes are all there is to see. Called by `loadtest.capacity.locust_run`.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError

from loadtest.measure.counters import read_counters
from loadtest.measure.memory_sampler import resident_bytes
from loadtest.measure.usage import TICKS_PER_S, cpu_s

INTERVAL_S = 1.0
IDLE, IOWAIT = 3, 4  # fields of /proc/stat's first line, proc_stat(5)


@dataclass(frozen=True, slots=True)
class Gauge:
    """One look; everything but memory only grows."""

    at: float  # seconds since the epoch
    cpu_s: Mapping[str, float]  # by process
    machine_cpu_s: float  # of all processes and of the kernel, all cores
    resident_mb: Mapping[str, float]
    counted: Mapping[str, float]  # by the names of `counters.METRICS`; empty: it does not say


@dataclass(slots=True)
class Gauges:
    """All looks of a run."""

    seen: list[Gauge] = field(default_factory=list)

    def between(self, begins: float, ends: float) -> tuple[Gauge, Gauge] | None:
        """The first and the last look in a time; None where there are not two."""
        inside = [gauge for gauge in self.seen if begins <= gauge.at <= ends]
        return (inside[0], inside[-1]) if len(inside) > 1 else None


@contextmanager
def gauging(url: str, pids: Mapping[str, Sequence[int]]) -> Iterator[Gauges]:
    """Have a thread look once a second until the block is left."""
    gauges = Gauges()
    stopping = threading.Event()

    def look_on() -> None:
        while not stopping.wait(INTERVAL_S):
            gauges.seen.append(look(url, pids))

    thread = threading.Thread(target=look_on, name="gauges")
    thread.start()
    try:
        yield gauges
    finally:
        stopping.set()
        thread.join()


def look(url: str, pids: Mapping[str, Sequence[int]]) -> Gauge:
    counted = counters_or_none(url)
    return Gauge(
        at=time.time(),
        cpu_s={name: sum(map(cpu_or_none, each)) for name, each in pids.items()},
        machine_cpu_s=machine_cpu_s(),
        resident_mb={name: sum(map(resident_or_none, each)) / 1e6 for name, each in pids.items()},
        counted=counted,
    )


def counters_or_none(url: str) -> dict[str, float]:
    """Read what the gateway counts; nothing where it does not tell us."""
    try:
        return read_counters(url)
    except (URLError, TimeoutError):
        return {}


def machine_cpu_s() -> float:
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    ticks = [int(field) for field in fields]
    return (sum(ticks) - ticks[IDLE] - ticks[IOWAIT]) / TICKS_PER_S


def cpu_or_none(pid: int) -> float:
    """A process that has ended uses no more."""
    try:
        return cpu_s(pid)
    except OSError:
        return 0.0


def resident_or_none(pid: int) -> int:
    try:
        return resident_bytes(pid)
    except (OSError, ValueError):  # ended; a zombie has no VmRSS
        return 0
