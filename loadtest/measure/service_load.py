"""Loads TorchServe or the gateway with concurrent clients for a while, and measures a slice.

Photos and a running service in, a `Slice` out. The clients run in another process, whose CPU time
is not the service's. Called by `loadtest.benchmark.served`.
"""

import json
import multiprocessing
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass

from loadtest.measure.counters import METRICS, read_counters
from loadtest.measure.gpu import EnergyCounter
from loadtest.measure.service import GATEWAY, RunningService
from loadtest.measure.slices import Slice
from loadtest.measure.statistics import summed
from loadtest.measure.usage import cpu_s, peak_bytes, reset_peak
from loadtest.traffic.concurrent_clients import ClientResults, run_clients


@dataclass(frozen=True, slots=True)
class ServiceLoad:
    """The photos that the clients send, with their reference answers."""

    photos: Sequence[bytes]
    reference_answers: Sequence[bytes]
    valid_pixels: int  # of one round of all photos
    clients: int
    seconds: float


def start_client_process() -> Executor:
    """Return an executor of one process for the clients; it starts with its first call."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


def measure_load(
    service: RunningService, level: str, load: ServiceLoad, client_process: Executor
) -> Slice:
    """Send complete rounds of photos to TorchServe or to the gateway, which `level` names."""
    for pids in service.pids.values():
        for pid in pids:
            reset_peak(pid)
    counters, energy = read_counters(service.gateway_url), EnergyCounter()
    cpu_before = cpu_s_by_process(service)
    results = client_process.submit(
        run_clients, service.endpoints[level], list(load.photos), load.clients, load.seconds
    ).result()
    cpu_after = cpu_s_by_process(service)
    counts, stages_ms = read_reports(service, level, results, counters)
    images = len(results.latencies_ms)
    return Slice(
        images=images,
        seconds=results.seconds,
        cpu_s={name: after - cpu_before[name] for name, after in cpu_after.items()},
        valid_pixels=load.valid_pixels * images // len(load.photos),
        stages_ms=stages_ms,
        latencies_ms=tuple(results.latencies_ms),
        differing=count_differing(results, load.reference_answers),
        failed=results.failed,
        peak_bytes={name: sum(map(peak_bytes, pids)) for name, pids in service.pids.items()},
        client_cpu_s=results.cpu_s,
        joules=energy.joules(),
        **counts,
    )


def cpu_s_by_process(service: RunningService) -> dict[str, float]:
    return {name: sum(map(cpu_s, pids)) for name, pids in service.pids.items()}


def read_reports(
    service: RunningService, level: str, results: ClientResults, before: Mapping[str, float]
) -> tuple[dict[str, int], dict[str, float]]:
    """Return counts of batches and passes, and stage times: the gateway's from its `/metrics` and
    `Server-Timing`, TorchServe's from the worker's report header.
    """
    if level == GATEWAY:
        after = read_counters(service.gateway_url)
        counts = {name: int(after[name] - before.get(name, 0.0)) for name in METRICS}
        return counts, summed([read_server_timing(text) for text in results.reports])
    reports = [json.loads(text) for text in results.reports]
    return count_reports(reports), summed([report["stages_ms"] for report in reports])


def read_server_timing(header: str) -> dict[str, float]:
    """Read `Server-Timing` (W3C): milliseconds by verb."""
    return {verb: float(ms) for verb, ms in re.findall(r"(\w+);dur=([\d.]+)", header)}


def count_reports(reports: Sequence[Mapping[str, object]]) -> dict[str, int]:
    """Sum up a worker's reports; each batch and each pass is reported with one answer alone."""
    batches = [int(str(report["batch_images"])) for report in reports if report["batch_images"]]
    groups = [group for report in reports if isinstance(group := report["group"], dict)]
    return {
        "counted_pixels": sum(group["valid_pixels"] for group in groups),
        "padded_pixels": sum(group["padded_pixels"] for group in groups),
        "batches": len(batches),
        "batched_images": sum(batches),
        "passes": len(groups),
        "passed_images": sum(group["images"] for group in groups),
    }


def count_differing(results: ClientResults, reference_answers: Sequence[bytes]) -> int:
    """Count the answers whose bytes differ from the photo's reference answer."""
    return sum(
        times
        for index, answers in results.answers.items()
        for body, times in answers.items()
        if body != reference_answers[index]
    )
