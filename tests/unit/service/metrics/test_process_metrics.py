"""The metrics of several processes, each with its label."""

import multiprocessing
import os

from prometheus_client import CollectorRegistry, generate_latest

from service.metrics.process_metrics import ProcessesCollector


def test_each_process_has_what_prometheus_client_has_of_one() -> None:
    pids = {"0": os.getpid(), "supervisor": os.getppid()}
    registry = CollectorRegistry()
    registry.register(ProcessesCollector(lambda: pids))
    names = {sample.name for metric in registry.collect() for sample in metric.samples}
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total"} <= names
    for process in pids:
        found = registry.get_sample_value("process_open_fds", {"process": process})
        assert found is not None
        assert found > 0
    assert generate_latest(registry).count(b"# TYPE process_open_fds gauge") == 1


def test_a_process_that_has_just_ended_has_no_metrics() -> None:
    ended = multiprocessing.get_context("fork").Process()
    ended.start()
    ended.join()
    assert ended.pid
    pid = ended.pid
    assert list(ProcessesCollector(lambda: {"0": pid}).collect()) == []
