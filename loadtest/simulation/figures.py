"""The figures of a simulated scenario: what was observed in, one row of the table out.

Called by `loadtest.simulation.run`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from loadtest.measure.statistics import percentile
from loadtest.simulation.cluster import Observed, Scenario


@dataclass(frozen=True, slots=True)
class Prices:
    """What an hour costs, in any currency: of a worker's pod, and of a gateway's processor."""

    worker: float
    processor: float


@dataclass(frozen=True, slots=True)
class Figures:
    """One scenario's; shares are of the resource's time, means over all of its kind."""

    name: str
    masks_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    refused_share: float
    failed: int
    queue_full: int
    gpu_busy: float
    python_workers_busy: float
    processors_busy: float  # of the workers' pods
    gateways_busy: float
    fullest: str  # of these four
    images_max_to_median: float  # of workers
    slow_share: float | None  # of a median worker's images, what a slow one got
    cost_per_million: float


def figures_of(scenario: Scenario, observed: Observed, prices: Prices) -> Figures:
    """Sum up a scenario."""
    answered = len(observed.latencies_s)
    per_s = answered / observed.seconds
    latencies_ms = sorted(1000 * seconds for seconds in observed.latencies_s)
    images = observed.images[scenario.slow_workers + scenario.killed_workers :]
    busy = {
        "GPUs": fmean(observed.gpu_busy),
        "Python workers": fmean(observed.worker_busy),
        "workers' processors": processors_busy(scenario, observed),
        "gateways": fmean(observed.gateway_busy),
    }
    return Figures(
        name=scenario.name,
        masks_per_s=per_s,
        p50_ms=percentile(latencies_ms, 50),
        p99_ms=percentile(latencies_ms, 99),
        refused_share=observed.refused / (answered + observed.refused + observed.failed),
        failed=observed.failed,
        queue_full=observed.queue_full,
        gpu_busy=busy["GPUs"],
        python_workers_busy=busy["Python workers"],
        processors_busy=busy["workers' processors"],
        gateways_busy=busy["gateways"],
        fullest=max(busy, key=busy.__getitem__),
        images_max_to_median=max(images) / median(images),
        slow_share=slow_share(observed.images, scenario.slow_workers),
        cost_per_million=cost_per_million(scenario, per_s, prices),
    )


def processors_busy(scenario: Scenario, observed: Observed) -> float:
    """Return the share of the pods' processors: beside a GPU what is around the passes, else the
    Python workers' time, of which each is one processor.
    """
    if not scenario.costs.has_gpu:
        python_s = fmean(observed.worker_busy) * scenario.size.python_workers
        return python_s / scenario.size.processors
    per_s = fmean(observed.images) / observed.seconds
    return per_s * scenario.costs.worker_cpu_ms / 1000 / scenario.size.processors


def slow_share(images: Sequence[int], slow: int) -> float | None:
    return fmean(images[:slow]) / median(images[slow:]) if slow else None


def cost_per_million(scenario: Scenario, per_s: float, prices: Prices) -> float:
    """Return what a million masks cost at this load, whatever part of the machines it uses."""
    hourly = scenario.workers * prices.worker
    hourly += scenario.gateways * scenario.processes * prices.processor
    return hourly / 3600 / per_s * 1e6
