"""The worker ends, or restarts TorchServe, when models fail to load or stop answering."""

import threading
import time
from pathlib import Path

import pytest

from service.worker import run as worker
from service.worker.liveness import probing
from tests.support.polling import wait_until
from tests.support.silent_torchserve import WITHIN_S, probe_of, silent_torchserve


def test_a_torchserve_that_stops_answering_ends_the_worker(port: int, tmp_path: Path) -> None:
    probe = probe_of(port, "well")
    assert probe.probe("well")
    with silent_torchserve(tmp_path, "well") as server:
        assert worker.wait_until_ended(server, probe, 0.3, threading.Event()) == 1
    assert server.exit_code() is not None


def test_torchserve_restarts_when_one_of_several_models_stops_answering(
    port: int, tmp_path: Path
) -> None:
    probe = probe_of(port, "gone", "well")
    probe._answered["gone"] = time.monotonic()
    with silent_torchserve(tmp_path, "gone", "well") as server, probing(probe):
        wait_until(lambda: probe.has_answered("well"))
        probe._answered["well"] = time.monotonic() + WITHIN_S
        with pytest.raises(worker.ModelSilentError, match="gone has not answered"):
            worker.wait_until_ended(server, probe, 0.3, threading.Event())


def test_one_of_several_models_that_fails_to_load_is_named(port: int, tmp_path: Path) -> None:
    with silent_torchserve(tmp_path, "broken", "well") as server:
        (server.load_reports / "well").write_text("")
        (server.load_reports / "broken").write_text("no such weights")
        probe = probe_of(port, "broken", "well")
        with pytest.raises(worker.ModelFailedError) as caught:
            worker.wait_until_ended(server, probe, 60, threading.Event())
    assert (caught.value.model, caught.value.reason) == ("broken", "no such weights")


def test_the_only_model_ends_the_worker_when_it_fails_to_load(port: int, tmp_path: Path) -> None:
    with silent_torchserve(tmp_path, "broken") as server:
        (server.load_reports / "broken").write_text("no such weights")
        probe = probe_of(port, "broken")
        assert worker.wait_until_ended(server, probe, 60, threading.Event()) == 1


def test_a_model_that_has_not_answered_yet_has_time_to_load(port: int, tmp_path: Path) -> None:
    stopping = threading.Event()
    timer = threading.Timer(0.8, stopping.set)
    with silent_torchserve(tmp_path, "gone") as server:
        timer.start()
        assert worker.wait_until_ended(server, probe_of(port, "gone"), 0.3, stopping) == 0
    timer.join()
