"""The whole service on free ports, as a benchmark sees it: bursts of photos in, slices out.

Gateway and worker are the children that `fcnserve serve` starts; clients run in another process,
whose CPU time is not the service's.
"""

import json
import multiprocessing
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from handlers.shared.wire import OPTIONS_HEADER, REPORT_HEADER
from loadtest.benchmark.rows import Slice, summed
from loadtest.measure import usage as measure
from loadtest.measure.counters import METRICS, read_counters
from loadtest.traffic.concurrent_clients import Burst, Target, burst
from service.all_in_one.run import child_environment, is_ready
from service.all_in_one.subservices import command
from service.settings import ROOT, Settings
from service.subprocesses import Subprocess, running
from service.worker.torchserve import free_ports

START_TIMEOUT_S = 300.0
POLL_S = 0.2
GRACE_S = 15.0
LOG_CHARACTERS = 3000
GATEWAY, TORCHSERVE = "gateway", "torchserve"
JAVA, WORKERS = "java", "workers"


class NotReadyError(RuntimeError):
    """The service did not start; the end of its log says why."""


@dataclass(frozen=True, slots=True)
class Load:
    """What clients send, and what is known of it."""

    photos: Sequence[bytes]
    lone_answers: Sequence[bytes]
    valid_pixels: int  # of one round of all photos
    clients: int
    seconds: float


class Served:
    """A running service."""

    def __init__(
        self, model: str, urls: Mapping[str, str], halves: Mapping[str, Subprocess]
    ) -> None:
        self.gateway_url = urls[GATEWAY]
        self.targets = {
            GATEWAY: Target(
                f"{urls[GATEWAY]}/v1/segment", {"Content-Type": "image/jpeg"}, "Server-Timing"
            ),
            TORCHSERVE: Target(
                f"{urls[TORCHSERVE]}/predictions/{model}",
                {"Content-Type": "application/octet-stream", OPTIONS_HEADER: "{}"},
                REPORT_HEADER,
            ),
        }
        below = measure.descendants(halves["worker"].pid)
        java = [pid for pid in below if Path(f"/proc/{pid}/comm").read_text().strip() == "java"]
        workers = [pid for pid in below if pid not in java]
        self.pids = {
            GATEWAY: [halves["gateway"].pid, *measure.descendants(halves["gateway"].pid)],
            JAVA: [halves["worker"].pid, *java],  # and the process that watches it
            WORKERS: workers,
        }

    def burst(self, level: str, load: Load, clients: Executor) -> Slice:
        """Send whole rounds of photos to TorchServe or to the gateway."""
        self._reset_peaks()
        metrics, energy = read_counters(self.gateway_url), measure.Energy()
        cpu_s = self._cpu_s()
        seen = clients.submit(
            burst, self.targets[level], list(load.photos), load.clients, load.seconds
        ).result()
        used = {name: after - cpu_s[name] for name, after in self._cpu_s().items()}
        counted, stages_ms = self._told(level, seen, metrics)
        images = len(seen.latencies_ms)
        return Slice(
            images=images,
            seconds=seen.seconds,
            cpu_s=used,
            valid_pixels=load.valid_pixels * images // len(load.photos),
            stages_ms=stages_ms,
            latencies_ms=tuple(seen.latencies_ms),
            differing=count_differing(seen, load.lone_answers),
            failed=seen.failed,
            peak_bytes={
                name: sum(map(measure.peak_bytes, pids)) for name, pids in self.pids.items()
            },
            client_cpu_s=seen.cpu_s,
            joules=energy.joules(),
            **counted,
        )

    def _told(
        self, level: str, seen: Burst, before: Mapping[str, float]
    ) -> tuple[dict[str, int], dict[str, float]]:
        """Read the figures of batches and passes, and stage times, where a level tells them."""
        if level == GATEWAY:
            after = read_counters(self.gateway_url)
            counted = {name: int(after[name] - before.get(name, 0.0)) for name in METRICS}
            return counted, summed([read_server_timing(text) for text in seen.reports])
        reports = [json.loads(text) for text in seen.reports]
        return count_reports(reports), summed([report["stages_ms"] for report in reports])

    def _cpu_s(self) -> dict[str, float]:
        return {name: sum(map(measure.cpu_s, pids)) for name, pids in self.pids.items()}

    def _reset_peaks(self) -> None:
        for pids in self.pids.values():
            for pid in pids:
                measure.reset_peak(pid)


@contextmanager
def served(folder: Path, settings: Mapping[str, str]) -> Iterator[Served]:
    """Serve a model folder; on leaving, everything is stopped."""
    with ExitStack() as stack:
        store = Path(stack.enter_context(TemporaryDirectory(prefix="fcnserve-bench-")))
        (store / folder.name).symlink_to(folder.absolute())
        (port,) = free_ports(1)
        environment = child_environment(Settings(model_store=store), port)
        environment["FCNSERVE_THREADS"] = "0"  # not those of the loops in this process
        environment |= {f"FCNSERVE_{name.upper()}": value for name, value in settings.items()}
        environment |= {"FCNSERVE_MODELS": folder.name}
        log = store / "log"
        halves = {
            name: stack.enter_context(running(logging_to(log, name), environment, ROOT, GRACE_S))
            for name in ("worker", "gateway")
        }
        urls = {
            GATEWAY: f"http://127.0.0.1:{port}",
            TORCHSERVE: environment["FCNSERVE_TORCHSERVE_URL"],
        }
        wait_until_ready(urls[GATEWAY], halves, log)
        yield Served(folder.name, urls, halves)


def logging_to(log: Path, name: str) -> list[str]:
    """Have a half write its log to a file: it is the service's work, but not to be read here."""
    return ["sh", "-c", 'exec "$@" 2>>"$0"', str(log), *command(name)]


def wait_until_ready(url: str, halves: Mapping[str, Subprocess], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not is_ready(url):
        ended = [name for name, child in halves.items() if child.exit_code() is not None]
        if ended or time.monotonic() > deadline:
            problem = f"the {ended[0]} ended" if ended else f"not ready in {START_TIMEOUT_S:.0f} s"
            last_lines = log.read_text(errors="replace")[-LOG_CHARACTERS:]
            raise NotReadyError(f"{problem}; its log ends so:\n{last_lines}")
        time.sleep(POLL_S)


def client_process() -> Executor:
    """Make the process that clients run in; it starts when first used."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


def count_differing(seen: Burst, lone_answers: Sequence[bytes]) -> int:
    return sum(
        times
        for place, answers in seen.answers.items()
        for body, times in answers.items()
        if body != lone_answers[place]
    )


def count_reports(reports: Sequence[Mapping[str, object]]) -> dict[str, int]:
    """Add up what the worker tells of batches and passes, each with one answer only."""
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


def read_server_timing(header: str) -> dict[str, float]:
    """Read `Server-Timing` (W3C): milliseconds by verb."""
    return {verb: float(ms) for verb, ms in re.findall(r"(\w+);dur=([\d.]+)", header)}
