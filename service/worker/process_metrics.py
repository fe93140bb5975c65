"""Metrics of the worker's processes: TorchServe's Java, and its subprocesses, the Python workers.

psutil reads them from the operating system at each scrape, so they are true while TorchServe does
not answer. prometheus_client's ProcessCollector covers one process, its own; TorchServe's system
metrics cover the machine. Called by `service.worker.run`.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import psutil
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.worker.liveness import LivenessProbe

ProcessKey = tuple[int, float]  # a process's id and start time, since ids are used again


@dataclass(slots=True)
class WorkerProcesses:
    """TorchServe's process and the Python workers that it has started so far."""

    java_pid: int
    cpu_s: dict[ProcessKey, float] = field(default_factory=dict)  # of each worker so far

    def update(self) -> list[psutil.Process]:
        """Record the CPU time of the Python workers; returns those that run."""
        running = []
        for process in self._children():
            try:
                used = process.cpu_times()
                self.cpu_s[process.pid, process.create_time()] = used.user + used.system
                if process.status() != psutil.STATUS_ZOMBIE:
                    running.append(process)
            except psutil.Error:
                continue  # it has just ended
        return running

    def java_cpu_s(self) -> float:
        try:
            used = psutil.Process(self.java_pid).cpu_times()
        except psutil.Error:
            return 0.0
        return float(used.user + used.system)

    def _children(self) -> list[psutil.Process]:
        try:
            return list(psutil.Process(self.java_pid).children())
        except psutil.Error:
            return []


def resident_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


class WorkerCollector(Collector):
    """The metrics of one TorchServe and its Python workers."""

    def __init__(self, processes: WorkerProcesses, expected: int, probe: LivenessProbe) -> None:
        """Take the configured number of Python workers, of all models together."""
        self._processes = processes
        self._expected = expected
        self._probe = probe

    def collect(self) -> Iterator[Metric]:
        """Give each metric's present value."""
        running = self._processes.update()
        yield GaugeMetricFamily(
            "fcnserve_worker_processes", "Python workers that run", len(running)
        )
        yield CounterMetricFamily(
            "fcnserve_worker_restarts",
            "Python workers that ended and were started anew",
            max(0, len(self._processes.cpu_s) - self._expected),
        )
        yield self._last_answer()
        yield GaugeMetricFamily(
            "fcnserve_worker_resident_memory_bytes",
            "Memory of the Python workers together",
            sum(map(resident_bytes, running)),
        )
        yield self._cpu()

    def _last_answer(self) -> Metric:
        last_answer = GaugeMetricFamily(
            "fcnserve_worker_last_answer_timestamp_seconds",
            "When a model last answered any request, or a worker loaded it; before that, when "
            "TorchServe was started",
            labels=["model"],
        )
        for model, silent_s in self._probe.silent_s().items():
            last_answer.add_metric([model], time.time() - silent_s)
        return last_answer

    def _cpu(self) -> Metric:
        cpu = CounterMetricFamily(
            "fcnserve_worker_cpu_seconds",
            "CPU time of TorchServe's Java and of the Python workers",
            labels=["process"],
        )
        cpu.add_metric(["java"], self._processes.java_cpu_s())
        cpu.add_metric(["python"], sum(self._processes.cpu_s.values()))
        return cpu
