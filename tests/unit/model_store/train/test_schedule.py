"""The learning rate by step, and the stages of a training."""

import pytest

from model_store.tools.train.options import TrainOptions
from model_store.tools.train.schedule import rate_factor, stages


def test_the_rate_rises_in_the_warm_up_and_then_falls_to_zero() -> None:
    options = TrainOptions(steps=1000, warm_up=100)
    factors = [rate_factor(step, options) for step in range(1000)]
    peak = factors.index(max(factors))
    assert 90 <= peak <= 100
    assert factors[:peak] == sorted(factors[:peak])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert 0 < factors[-1] < 0.01


@pytest.mark.parametrize(
    ("architecture", "choice", "strides"),
    [
        ("fcn8s-lite0", "at_once", [8]),
        ("fcn8s-lite0", "paper", [32, 16, 8]),
        ("fcn16s-vgg16", "paper", [32, 16]),
        ("fcn32s-vgg16", "paper", [32]),
    ],
)
def test_the_stages_divide_all_steps(architecture: str, choice: str, strides: list[int]) -> None:
    plan = stages(architecture, TrainOptions(steps=100).model_copy(update={"stages": choice}))
    assert [stage.stride for stage in plan] == strides
    assert [step for stage in plan for step in range(stage.first, stage.end)] == list(range(100))
