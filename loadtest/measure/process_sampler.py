"""Samples CPU time, memory and `/metrics` counters once a second during a run.

Process ids by name and a gateway's address in, samples out. Of a service on another machine it
samples the client's processes alone. Called by `loadtest.capacity.locust_run`.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.error import URLError

from loadtest.measure.counters import read_counters
from loadtest.measure.sampler_thread import sampler_thread
from loadtest.measure.usage import cpu_s, machine_cpu_s, resident_bytes

INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True)
class ProcessSample:
    """One sample; every value but memory is cumulative."""

    at: float  # seconds since the epoch
    cpu_s: Mapping[str, float]  # by process
    machine_cpu_s: float  # of all processes and of the kernel, all cores
    resident_mb: Mapping[str, float]
    counters: Mapping[str, float]  # by the names of `counters.METRICS`; empty: not exposed


@dataclass(slots=True)
class ProcessSamples:
    """All samples of a run."""

    samples: list[ProcessSample] = field(default_factory=list)

    def between(self, begins: float, ends: float) -> tuple[ProcessSample, ProcessSample] | None:
        """Return the first and the last sample of a period; None where there are not two."""
        inside = [sample for sample in self.samples if begins <= sample.at <= ends]
        return (inside[0], inside[-1]) if len(inside) > 1 else None


@contextmanager
def sample_processes(url: str, pids: Mapping[str, Sequence[int]]) -> Iterator[ProcessSamples]:
    """Take samples in a thread until the block is left."""
    samples = ProcessSamples()

    def take_samples(stopping: threading.Event) -> None:
        while not stopping.wait(INTERVAL_S):
            samples.samples.append(take_sample(url, pids))

    with sampler_thread("process-sampler", take_samples):
        yield samples


def take_sample(url: str, pids: Mapping[str, Sequence[int]]) -> ProcessSample:
    counters = counters_or_none(url)
    return ProcessSample(
        at=time.time(),
        cpu_s={name: sum(map(cpu_or_zero, each)) for name, each in pids.items()},
        machine_cpu_s=machine_cpu_s(),
        resident_mb={name: sum(map(resident_or_zero, each)) / 1e6 for name, each in pids.items()},
        counters=counters,
    )


def counters_or_none(url: str) -> dict[str, float]:
    """Read the gateway's counters; empty where it does not expose them to this client."""
    try:
        return read_counters(url)
    except (URLError, TimeoutError):
        return {}


def cpu_or_zero(pid: int) -> float:
    """Return 0 for a process that has ended."""
    try:
        return cpu_s(pid)
    except OSError:
        return 0.0


def resident_or_zero(pid: int) -> int:
    """Return 0 for a process that has ended, or is a zombie, which has no VmRSS."""
    try:
        return resident_bytes(pid)
    except (OSError, ValueError):
        return 0
