"""The liveness probe: which answers and records count as a sign of life, model by model."""

import threading
from pathlib import Path

from handlers.isolation.crash_isolation import CrashIsolation
from handlers.isolation.time_limits import TimeLimits
from service.inference_address import InferenceAddress
from service.worker import run as worker
from service.worker.liveness import LivenessProbe, probing
from tests.support.polling import wait_until
from tests.support.silent_torchserve import (
    WITHIN_S,
    predictions_on,
    probe_of,
    silent_torchserve,
)


def test_a_model_that_answers_the_probe_is_no_longer_silent(port: int) -> None:
    probe = probe_of(port, "well")
    assert not probe.is_healthy(WITHIN_S)
    with probing(probe):
        wait_until(lambda: probe.has_answered("well"))
    assert probe.silent_s()["well"] < WITHIN_S
    assert probe.is_healthy(WITHIN_S)
    assert not probe.is_healthy(0)


def test_a_model_without_workers_is_silent_and_others_are_not(port: int) -> None:
    probe = probe_of(port, "gone", "well")
    with probing(probe):
        wait_until(lambda: probe.has_answered("well"))
    assert not probe.has_answered("gone")
    assert not probe.is_healthy(WITHIN_S)  # it is still to start


def test_a_model_that_hangs_delays_the_probe_of_no_other(port: int) -> None:
    probe = probe_of(port, "hung", "well")
    with probing(probe):
        wait_until(lambda: probe.has_answered("well"))
    assert not probe.has_answered("hung")


def test_a_model_that_was_left_out_is_reported_and_not_awaited(port: int) -> None:
    probe = LivenessProbe(InferenceAddress("127.0.0.1", port), ["well"], 5, left_out=["broken"])
    assert probe.probe("well")
    assert probe.is_healthy(WITHIN_S)
    assert probe.silent_s().keys() == {"well", "broken"}


def test_a_model_answers_the_probe_through_a_socket(tmp_path: Path) -> None:
    with predictions_on(tmp_path / "socket") as address:
        assert LivenessProbe(address, ["well"], 5).probe("well")
    missing = InferenceAddress("localhost", 0, str(tmp_path / "missing"))
    assert not LivenessProbe(missing, ["well"], 5).probe("well")


def test_a_port_without_a_listener_is_silence() -> None:
    assert not probe_of(1, "well").probe("well")


def test_any_answer_of_a_worker_counts_and_torchserves_own_does_not(port: int) -> None:
    probe = probe_of(port, "odd", "killed")
    assert probe.probe("odd")
    assert not probe.probe("killed")


def test_an_answer_to_any_request_is_a_sign_of_life(port: int, tmp_path: Path) -> None:
    """The probe shares its batch, and the end of it, with an image that ends its worker."""
    probe = LivenessProbe(
        InferenceAddress("127.0.0.1", port), ["killed"], 5, flight_records=tmp_path
    )
    isolation = CrashIsolation.at(tmp_path / "killed")
    with isolation.batch({}, TimeLimits(WITHIN_S)):
        pass
    assert not probe.probe("killed")
    assert probe.has_answered("killed")
    assert probe.is_healthy(WITHIN_S)
    with silent_torchserve(tmp_path, "killed") as server:
        stopping = threading.Event()

        def answer_others() -> None:
            for _ in range(10):
                stopping.wait(0.1)
                with isolation.batch({}, TimeLimits(WITHIN_S)):
                    pass
            stopping.set()

        thread = threading.Thread(target=answer_others)
        thread.start()
        assert worker.wait_until_ended(server, probe, 0.5, stopping) == 0
        thread.join()
        assert worker.wait_until_ended(server, probe, 0.5, threading.Event()) == 1
    isolation.close()


def test_a_worker_that_has_loaded_its_model_is_a_sign_of_life(port: int, tmp_path: Path) -> None:
    probe = LivenessProbe(
        InferenceAddress("127.0.0.1", port), ["killed"], 5, flight_records=tmp_path
    )
    probe._started -= 100
    assert probe.silent_s()["killed"] >= 100
    isolation = CrashIsolation.at(tmp_path / "killed")
    assert probe.silent_s()["killed"] < 100
    assert not probe.has_answered("killed")
    isolation.close()
