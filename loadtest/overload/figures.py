"""The figures of an overload run: samples in, named numbers out.

Called by `loadtest.overload.run`, which makes the result, and by `loadtest.overload.report`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from loadtest.measure.memory_sampler import MemorySamples
from loadtest.measure.series import early_and_late, settled
from loadtest.measure.statistics import percentile, ratio
from loadtest.overload.arrivals import ArrivalResults
from loadtest.traffic.concurrent_clients import ClientResults


@dataclass(frozen=True, slots=True)
class OverloadOptions:
    """The options of a run."""

    model: str
    photos: str
    clients: int  # of the closed loop: as many as are accepted
    times_capacity: float
    saturated_s: float
    overload_s: float
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class OverloadResult:
    """The measurements of a run: a saturated closed loop, then the overload."""

    options: OverloadOptions
    saturated: ClientResults
    arrivals_per_s: float
    overload: ArrivalResults
    memory: MemorySamples


def figures_of(result: OverloadResult) -> Iterator[tuple[str, float | int | None]]:
    """Yield every figure of the table with its name."""
    overload = result.overload
    saturated = sorted(ms for _, ms in result.saturated.latencies_ms)
    accepted, refused = sorted(overload.mask_ms), sorted(overload.refused_ms)
    saturated_p99, accepted_p99 = percentile(saturated, 99), percentile(accepted, 99)
    yield "saturated: masks/s", len(saturated) / result.saturated.seconds
    yield "saturated: p50, ms", percentile(saturated, 50)
    yield "saturated: p99, ms", saturated_p99
    yield "arrivals/s", result.arrivals_per_s
    yield "sent", overload.sent
    yield "accepted and answered correctly", len(accepted) - overload.wrong
    yield "overload: masks/s", len(accepted) / overload.seconds
    yield "wrong", overload.wrong
    yield "refused: 429", len(refused)
    for code, count in sorted(overload.problems.items()):
        yield f"problems: {code}", count
    yield "lost", len(overload.losses)
    yield "accepted: p50, ms", percentile(accepted, 50)
    yield "accepted: p99, ms", accepted_p99
    yield "accepted p99 / saturated p99", ratio(accepted_p99 or 0.0, saturated_p99 or 0.0)
    for percent in (50, 99, 99.9):
        yield f"time to 429: p{percent:g}, ms", percentile(refused, percent)
    yield (
        "of this, late in the client's own loop: p99, ms",
        percentile(sorted(overload.late_ms), 99),
    )
    yield "client's CPU, share of one core", overload.cpu_s / overload.seconds
    yield from memory_figures(result.memory)
    yield "/readyz requests", len(result.memory.ready)
    yield "/readyz not 200", result.memory.ready.count(False)


def memory_figures(memory: MemorySamples) -> Iterator[tuple[str, float]]:
    for name, used_mb in memory.resident_mb.items():
        early, late = early_and_late(used_mb)
        yield f"{name}: memory early in the overload, MB", early
        yield f"{name}: memory at its end, MB", late
        yield f"{name}: memory, most, MB", max(settled(used_mb))
