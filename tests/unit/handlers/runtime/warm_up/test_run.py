"""Warm-up admits the passes that are exact and faster than single ones, and no others."""

import time
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from handlers.model_config import Batching, GroupPixels, Ladder
from handlers.runtime.warm_up import run as warm_up_module
from handlers.runtime.warm_up.run import warm_up
from handlers.shared.frame import Frame
from tests.support.worker import FakeNetwork, Pixels

PASS_S = 0.005


class TimedNetwork(FakeNetwork):
    """Scores a photo by its mean; a pass takes `pass_s(photos)` and may add an error to scores."""

    def __init__(self, pass_s: Callable[[int], float], error: float = 0.0) -> None:
        super().__init__()
        self._pass_s, self._error = pass_s, error

    def scores(self, photos: Sequence[Pixels], canvas: Frame) -> list[Tensor]:
        self.passes.append(len(photos))
        done = time.thread_time() + self._pass_s(len(photos))
        while time.thread_time() < done:  # sleeping would not count
            pass
        error = self._error if len(photos) > 1 else 0.0
        return [torch.tensor(photo.mean() + error, dtype=torch.float64) for photo in photos]


def batching(sides: tuple[int, ...] = (64,), pixels: int = 10**6) -> Batching:
    return Batching(ladder=Ladder(cpu=sides), group_pixels=GroupPixels(cpu=pixels))


def test_passes_that_cost_no_more_than_a_single_one_are_admitted() -> None:
    costs = warm_up(TimedNetwork(lambda photos: PASS_S), batching())
    assert set(costs.shared) == {(Frame(64, 64), photos) for photos in (2, 4, 8)}
    assert costs.ladder == (64,)
    assert costs.single_ms(Frame(64, 64)) == pytest.approx(1000 * PASS_S, rel=1)


def test_a_pass_that_differs_in_the_last_bits_is_not_admitted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    costs = warm_up(TimedNetwork(lambda photos: PASS_S, error=1e-12), batching())
    assert costs.shared == {}
    assert "not exact, so not used: 2 photos on 64x64" in caplog.text


def test_where_bits_do_not_count_that_pass_is_admitted() -> None:
    inexact = batching().model_copy(update={"exact": False})
    costs = warm_up(TimedNetwork(lambda photos: PASS_S, error=1e-12), inexact)
    assert set(costs.shared) == {(Frame(64, 64), photos) for photos in (2, 4, 8)}


def test_a_pass_that_exceeds_the_memory_is_not_admitted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def pass_s(photos: int) -> float:
        if photos > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return PASS_S

    costs = warm_up(TimedNetwork(pass_s), batching())
    assert set(costs.shared) == {(Frame(64, 64), 2)}
    assert "no memory for it, so not used: 4 photos on 64x64" in caplog.text


def test_a_pass_that_fails_is_not_admitted_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def pass_s(photos: int) -> float:
        if photos == 4:
            raise RuntimeError("no kernel image is available")
        return PASS_S

    costs = warm_up(TimedNetwork(pass_s), batching())
    assert set(costs.shared) == {(Frame(64, 64), 2), (Frame(64, 64), 8)}
    assert "no kernel image is available, so not used: 4 photos on 64x64" in caplog.text


def test_a_pass_that_takes_longer_than_single_ones_is_not_admitted() -> None:
    costs = warm_up(TimedNetwork(lambda photos: PASS_S * photos**2), batching())
    assert costs.shared == {}


def test_a_pass_above_the_budget_is_not_measured() -> None:
    network = TimedNetwork(lambda photos: PASS_S)
    costs = warm_up(network, batching(pixels=4 * 64 * 64))
    assert set(costs.shared) == {(Frame(64, 64), 2), (Frame(64, 64), 4)}
    assert max(network.passes) == 4


def test_passes_that_take_long_are_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_up_module, "LONG_ENOUGH_S", PASS_S / 2)
    network = TimedNetwork(lambda photos: PASS_S)
    warm_up(network, batching(pixels=1))
    assert network.passes.count(1) == 2 * 2  # a kernel's first pass and a timed one


def test_a_warm_up_that_takes_too_long_keeps_the_passes_that_it_has_admitted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setitem(warm_up_module.LONGEST_S, "cpu", 0.0)
    costs = warm_up(TimedNetwork(lambda photos: PASS_S), batching((64, 128)))
    assert costs.shared == {}
    assert "photos on 64x64 and on stay unshared" in caplog.text


def test_a_measurement_that_would_take_too_long_is_not_begun(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # single photos take 18 passes' time, and two photos, twice, four: more than that
    measurements_s = 20 * PASS_S
    caplog.set_level("INFO")
    monkeypatch.setitem(warm_up_module.LONGEST_S, "cpu", measurements_s)
    network = TimedNetwork(lambda photos: PASS_S)
    assert warm_up(network, batching()).shared == {}
    assert max(network.passes) == 1
    assert "photos on 64x64 and on stay unshared" in caplog.text
