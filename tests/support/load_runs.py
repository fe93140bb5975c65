"""Logged requests, process samples and stage figures of an imagined load test.

Used by the unit tests of the load test's measurements and reports.
"""

from dataclasses import replace

from loadtest.capacity.figures import MachineUsage, StageFigures
from loadtest.measure.process_sampler import ProcessSample
from loadtest.traffic.request_log import CORRECT, LoggedRequest


def logged(due: float, ms: float = 50, outcome: str = CORRECT, images: int = 1) -> LoggedRequest:
    """Return a request that was due at a time."""
    return LoggedRequest(due, 0.0, ms, "mask", outcome, images, {"forward": ms / 2})


def sample(at: float, batches: float = 0.0) -> ProcessSample:
    """Return a sample in which the workers have used one core and the machine two."""
    counters = {"batches": batches, "batched_images": 3 * batches}
    counters |= {"counted_pixels": 8 * batches, "padded_pixels": 10 * batches}
    return ProcessSample(at, {"workers": at}, 2 * at, {"workers": 100 + at}, counters)


def step(offered: float, **changes: object) -> StageFigures:
    """Return the figures of a stage in which every request is answered, but for `changes`."""
    figures = StageFigures(
        level=round(offered),
        seconds=10,
        offered=offered,
        answered=offered,
        masks=offered,
        ms={"p50": 30.0, "p95": 60.0, "p99": 90.0},
        late_p99_ms=1.0,
        errors={},
        error_share=0.0,
        stages_ms={"wait": 10.0, "forward": 20.0},
        usage=MachineUsage(),
    )
    return replace(figures, **changes)  # type: ignore[arg-type]  # fields of StageFigures


def using(machine: float, **cpu: float) -> MachineUsage:
    """Return a usage of cores, of the machine and by process."""
    return MachineUsage(cpu=cpu, machine_cpu=machine)
