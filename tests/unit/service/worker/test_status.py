"""What the worker's supervisor sees, tells, and does about it."""

import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector

from handlers.isolation.guard import Guard, TimeLimits
from handlers.shared.wire import MODEL_HEADER
from service.subprocesses import running
from service.worker import run as worker
from service.worker.exporter import KEPT_S, Figures, application, exporting
from service.worker.gpu_metrics import FIGURES, GpuCollector
from service.worker.liveness import LivenessProbe, asking
from service.worker.process_metrics import WorkerCollector, WorkerProcesses
from service.worker.torchserve import TorchServe

WITHIN_S = 10.0


def wait_until(holds: Any) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Predictions(BaseHTTPRequestHandler):
    """A TorchServe whose workers answer, or do not."""

    def do_POST(self) -> None:
        answers = self.path in ("/predictions/well", "/predictions/odd")
        if self.path == "/predictions/hung":
            time.sleep(WITHIN_S)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200 if self.path == "/predictions/well" else 507)
        if answers:
            self.send_header(MODEL_HEADER, "well@0123456789abcdef")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Predictions) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def canary_for(port: int, *models: str) -> LivenessProbe:
    return LivenessProbe("127.0.0.1", port, models, patience_s=5)


def test_a_canary_that_is_answered_is_no_longer_silent(port: int) -> None:
    canary = canary_for(port, "well")
    assert not canary.is_well(WITHIN_S)
    with asking(canary):
        wait_until(lambda: canary.has_answered("well"))
    assert canary.silent_s()["well"] < WITHIN_S
    assert canary.is_well(WITHIN_S)
    assert not canary.is_well(0)


def test_a_model_without_workers_is_silent_and_others_are_not(port: int) -> None:
    canary = canary_for(port, "gone", "well")
    with asking(canary):
        wait_until(lambda: canary.has_answered("well"))
    assert not canary.has_answered("gone")
    assert not canary.is_well(WITHIN_S)  # it is still to start


def test_a_model_that_hangs_keeps_no_other_from_being_asked(port: int) -> None:
    canary = canary_for(port, "hung", "well")
    with asking(canary):
        wait_until(lambda: canary.has_answered("well"))
    assert not canary.has_answered("hung")


def test_a_model_that_was_left_out_is_told_of_and_not_waited_for(port: int) -> None:
    canary = LivenessProbe("127.0.0.1", port, ["well"], 5, left_out=["broken"])
    assert canary.ask("well")
    assert canary.is_well(WITHIN_S)
    assert canary.silent_s().keys() == {"well", "broken"}


def test_nothing_that_listens_is_silence() -> None:
    assert not canary_for(1, "well").ask("well")


def test_any_answer_of_a_worker_counts_and_torchserves_own_does_not(port: int) -> None:
    canary = canary_for(port, "odd", "killed")
    assert canary.ask("odd")
    assert not canary.ask("killed")


def test_an_answer_to_anybody_is_a_sign_of_life(port: int, tmp_path: Path) -> None:
    """The canary shares its batch, and the end of it, with an image that ends its worker."""
    canary = LivenessProbe("127.0.0.1", port, ["killed"], 5, flight_records=tmp_path)
    guard = Guard.at(tmp_path / "killed")
    with guard.batch({}, TimeLimits(WITHIN_S)):
        pass
    assert not canary.ask("killed")
    assert canary.has_answered("killed")
    assert canary.is_well(WITHIN_S)
    with sleeper(tmp_path, "killed") as server:
        stopping = threading.Event()

        def answer_others() -> None:
            for _ in range(10):
                stopping.wait(0.1)
                with guard.batch({}, TimeLimits(WITHIN_S)):
                    pass
            stopping.set()

        thread = threading.Thread(target=answer_others)
        thread.start()
        assert worker.watch(server, canary, 0.5, stopping) == 0
        thread.join()
        assert worker.watch(server, canary, 0.5, threading.Event()) == 1
    guard.close()


def test_a_worker_that_has_loaded_its_model_is_a_sign_of_life(port: int, tmp_path: Path) -> None:
    canary = LivenessProbe("127.0.0.1", port, ["killed"], 5, flight_records=tmp_path)
    canary._started -= 100
    assert canary.silent_s()["killed"] >= 100
    guard = Guard.at(tmp_path / "killed")
    assert canary.silent_s()["killed"] < 100
    assert not canary.has_answered("killed")
    guard.close()


@contextmanager
def sleeper(tmp_path: Path, *models: str) -> Iterator[TorchServe]:
    """A TorchServe that runs and does nothing."""
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with running(command, {}, tmp_path, grace_s=2) as child:
        (tmp_path / "loads").mkdir()
        yield TorchServe(
            child, models, tmp_path / "loads", tmp_path / "flights", ("127.0.0.1", 1), 1
        )


def test_a_torchserve_that_falls_silent_ends_the_worker(port: int, tmp_path: Path) -> None:
    canary = canary_for(port, "well")
    assert canary.ask("well")
    with sleeper(tmp_path, "well") as server:
        assert worker.watch(server, canary, 0.3, threading.Event()) == 1
    assert server.exit_code() is not None


def test_one_of_several_models_that_falls_silent_has_torchserve_start_anew(
    port: int, tmp_path: Path
) -> None:
    canary = canary_for(port, "gone", "well")
    canary._answered["gone"] = time.monotonic()
    with sleeper(tmp_path, "gone", "well") as server, asking(canary):
        wait_until(lambda: canary.has_answered("well"))
        canary._answered["well"] = time.monotonic() + WITHIN_S
        with pytest.raises(worker.ModelSilentError, match="gone has not answered"):
            worker.watch(server, canary, 0.3, threading.Event())


def test_one_of_several_models_that_cannot_be_loaded_is_named(port: int, tmp_path: Path) -> None:
    with sleeper(tmp_path, "broken", "well") as server:
        (server.load_reports / "well").write_text("")
        (server.load_reports / "broken").write_text("no such weights")
        canary = canary_for(port, "broken", "well")
        with pytest.raises(worker.ModelFailedError) as caught:
            worker.watch(server, canary, 60, threading.Event())
    assert (caught.value.model, caught.value.reason) == ("broken", "no such weights")


def test_the_only_model_that_cannot_be_loaded_ends_the_worker(port: int, tmp_path: Path) -> None:
    with sleeper(tmp_path, "broken") as server:
        (server.load_reports / "broken").write_text("no such weights")
        assert worker.watch(server, canary_for(port, "broken"), 60, threading.Event()) == 1


def test_one_that_has_not_answered_yet_is_given_time_to_load(port: int, tmp_path: Path) -> None:
    stopping = threading.Event()
    timer = threading.Timer(0.8, stopping.set)
    with sleeper(tmp_path, "gone") as server:
        timer.start()
        assert worker.watch(server, canary_for(port, "gone"), 0.3, stopping) == 0
    timer.join()


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize(("healthy", "status"), [(True, 200), (False, 503)])
def test_healthz_says_how_torchserve_is(healthy: bool, status: int) -> None:
    app = application(CollectorRegistry(), lambda: healthy)
    with exporting("127.0.0.1", 0, app) as port:
        assert get(port, "/healthz")[0] == status
        assert get(port, "/metrics")[0] == 200
        assert get(port, "/")[0] == 404


def test_a_port_that_is_taken_is_an_error() -> None:
    app = application(CollectorRegistry(), lambda: True)
    with exporting("127.0.0.1", 0, app) as port:
        second = exporting("127.0.0.1", port, app)
        with pytest.raises(OSError, match="in use"):
            second.__enter__()


PARENT = """
import subprocess, sys, time
children = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])]
for line in sys.stdin:
    children.pop().kill()
    children.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))
"""


def test_workers_are_counted_and_so_are_those_that_began_anew(port: int) -> None:
    registry = CollectorRegistry()
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as java:
        try:
            collector = WorkerCollector(WorkerProcesses(java.pid), 1, canary_for(port, "well"))
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
            for child in WorkerProcesses(java.pid).look():
                child.kill()


def test_what_is_gone_has_no_workers(port: int) -> None:
    registry = CollectorRegistry()
    registry.register(WorkerCollector(WorkerProcesses(2**22 - 1), 1, canary_for(port, "well")))
    assert registry.get_sample_value("fcnserve_worker_processes") == 0


class FakeNvml(SimpleNamespace):
    """Two GPUs as pynvml tells of them; the second one's power is not told."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        """What pynvml raises."""

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802 - NVML's names
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetUtilizationRates(self, _gpu: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(gpu=87)

    def nvmlDeviceGetMemoryInfo(self, _gpu: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(used=10, total=80)

    def nvmlDeviceGetPowerUsage(self, gpu: int) -> int:  # noqa: N802
        if gpu == 1:
            raise self.NVMLError
        return 350_000

    def nvmlDeviceGetTemperature(self, _gpu: int, _sensor: int) -> int:  # noqa: N802
        return 61


def test_gpus_are_told_of_as_far_as_they_tell() -> None:
    registry = CollectorRegistry()
    registry.register(GpuCollector(FakeNvml()))
    first = {
        figure.name: registry.get_sample_value(figure.name, {"gpu": "0"}) for figure in FIGURES
    }
    assert list(first.values()) == [0.87, 10, 80, 350, 61]
    assert registry.get_sample_value("fcnserve_gpu_power_watts", {"gpu": "1"}) is None
    assert registry.get_sample_value("fcnserve_gpu_utilization_ratio", {"gpu": "1"}) == 0.87


def test_scrapes_without_end_collect_the_figures_once_a_second() -> None:
    collected: list[float] = []

    class Counting(Collector):
        def collect(self) -> Iterator[Metric]:
            collected.append(time.monotonic())
            yield from ()

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Counting())
    collected.clear()
    figures = Figures(registry)
    for _ in range(1000):
        figures.text()
    assert all(later - earlier >= KEPT_S for earlier, later in pairwise(collected))
    assert collected
