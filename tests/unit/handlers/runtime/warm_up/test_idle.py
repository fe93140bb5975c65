"""Passes for which a start had no time are measured between batches, one at a time."""

import threading

import pytest
import torch

from handlers.runtime.device import Device
from handlers.runtime.device_errors import Failure
from handlers.runtime.pass_costs import PassCosts
from handlers.runtime.warm_up import idle as module
from handlers.runtime.warm_up import run as run_module
from handlers.runtime.warm_up.idle import IdleWarmUp
from handlers.runtime.warm_up.run import WarmUp, warm_up
from handlers.shared.frame import Frame
from tests.unit.handlers.runtime.warm_up.test_run import PASS_S, TimedNetwork, batching

CPU = Device(torch.device("cpu"), "fp32", 1)
WITHIN_S = 60.0
LOST = "CUDA error: an illegal memory access was encountered"


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a start no time, and let a moment count as idle."""
    monkeypatch.setitem(run_module.LONGEST_S, "cpu", 0.0)
    monkeypatch.setattr(module, "IDLE_S", 0.0)


def started(network: TimedNetwork) -> WarmUp:
    begun = WarmUp(network, batching())
    begun.run()
    assert begun.costs.shared == {}
    return begun


def test_a_thread_measures_all_that_was_left(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[PassCosts] = []
    all_used = threading.Event()

    def use(costs: PassCosts) -> None:
        used.append(costs)
        if len(costs.shared) == 3:
            all_used.set()

    IdleWarmUp(started(TimedNetwork(lambda photos: PASS_S)), CPU, use).start()
    assert all_used.wait(WITHIN_S)
    monkeypatch.setitem(run_module.LONGEST_S, "cpu", WITHIN_S)
    at_once = warm_up(TimedNetwork(lambda photos: PASS_S), batching())
    assert set(used[-1].shared) == set(at_once.shared)
    assert used[-1].shared_images == at_once.shared_images
    assert [len(costs.shared) for costs in used] == [1, 2, 3]


def test_nothing_is_measured_soon_after_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_S", WITHIN_S)
    left = started(TimedNetwork(lambda photos: PASS_S))
    idle = IdleWarmUp(left, CPU, lambda costs: pytest.fail(f"measured {costs}"))
    with idle.batch():
        pass
    assert idle.measure_if_idle()
    assert left.has_more


def test_a_batch_in_work_has_the_network_for_itself() -> None:
    left = started(TimedNetwork(lambda photos: PASS_S))
    measured = threading.Event()
    idle = IdleWarmUp(left, CPU, lambda _: measured.set())
    with idle.batch():
        idle.start()
        assert not measured.wait(10 * PASS_S)
    assert measured.wait(WITHIN_S)


def test_a_lost_device_ends_it_and_no_batch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def pass_s(photos: int) -> float:
        if photos > 1:
            raise RuntimeError(LOST)
        return PASS_S

    monkeypatch.setattr(run_module, "diagnose", lambda _: Failure.device_lost)
    left = started(TimedNetwork(pass_s))
    idle = IdleWarmUp(left, CPU, lambda costs: pytest.fail(f"used {costs}"))
    assert not idle.measure_if_idle()
    assert LOST in caplog.text
    with idle.batch():
        pass


def test_a_pass_that_fails_is_left_out_and_the_next_is_measured() -> None:
    def pass_s(photos: int) -> float:
        if photos == 2:
            raise RuntimeError("no kernel image is available")
        return PASS_S

    left = started(TimedNetwork(pass_s))
    idle = IdleWarmUp(left, CPU, lambda _: None)
    while left.has_more:
        assert idle.measure_if_idle()
    assert set(left.costs.shared) == {(Frame(64, 64), 4), (Frame(64, 64), 8)}
