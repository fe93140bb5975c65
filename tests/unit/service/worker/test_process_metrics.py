"""The worker's processes are counted from outside, restarts included."""

import subprocess
import sys
import time

from prometheus_client import CollectorRegistry

from service.worker.process_metrics import WorkerCollector, WorkerProcesses
from tests.support.polling import wait_until
from tests.support.silent_torchserve import WITHIN_S, probe_of

PARENT = """
import subprocess, sys, time
children = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])]
for line in sys.stdin:
    children.pop().kill()
    children.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))
"""


def test_workers_are_counted_and_so_are_their_restarts(port: int) -> None:
    registry = CollectorRegistry()
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as java:
        try:
            collector = WorkerCollector(WorkerProcesses(java.pid), 1, probe_of(port, "well"))
            registry.register(collector)

            def value(name: str, **labels: str) -> float:
                return registry.get_sample_value(f"fcnserve_worker_{name}", labels) or 0.0

            wait_until(lambda: value("processes") == 1)
            assert value("restarts_total") == 0
            assert value("resident_memory_bytes") > 1_000_000
            assert value("cpu_seconds_total", process="java") > 0
            assert java.stdin
            java.stdin.write("\n")
            java.stdin.flush()
            wait_until(lambda: value("restarts_total") == 1)
            assert value("processes") == 1
            answered = value("last_answer_timestamp_seconds", model="well")
            assert abs(answered - time.time()) < WITHIN_S
        finally:
            java.terminate()
            for process in WorkerProcesses(java.pid).update():
                process.kill()


def test_a_process_that_has_ended_has_no_workers(port: int) -> None:
    registry = CollectorRegistry()
    registry.register(WorkerCollector(WorkerProcesses(2**22 - 1), 1, probe_of(port, "well")))
    assert registry.get_sample_value("fcnserve_worker_processes") == 0
