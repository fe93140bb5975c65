"""Samples a service's memory and /readyz once a second while it is loaded.

Called by `loadtest.overload.run`.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from loadtest.measure.sampler_thread import sampler_thread
from loadtest.measure.service import RunningService
from loadtest.measure.usage import resident_bytes
from service.all_in_one.readiness import is_ready

INTERVAL_S = 1.0


@dataclass(slots=True)
class MemorySamples:
    """Lists of equal length, one value per sample; `seconds` is the time of each."""

    seconds: list[float] = field(default_factory=list)
    resident_mb: dict[str, list[float]] = field(default_factory=dict)  # by process
    ready: list[bool] = field(default_factory=list)


@contextmanager
def sample_memory(service: RunningService) -> Iterator[MemorySamples]:
    """Take samples in a thread until the block is left."""
    samples = MemorySamples()
    started = time.monotonic()

    def take_samples(stopping: threading.Event) -> None:
        while True:
            samples.seconds.append(time.monotonic() - started)
            for name, pids in service.pids.items():
                used_mb = sum(map(resident_bytes, pids)) / 1e6
                samples.resident_mb.setdefault(name, []).append(used_mb)
            samples.ready.append(is_ready(service.gateway_url))
            if stopping.wait(INTERVAL_S):
                return

    with sampler_thread("memory-sampler", take_samples):
        yield samples
