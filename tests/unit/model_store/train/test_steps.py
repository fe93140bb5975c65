"""The parts of a step: schedule, loss, parameter groups, EMA weights, prefetched batches."""

from itertools import islice

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from handlers.net import ARCHITECTURES
from handlers.net.fcn import FRACTIONS
from handlers.runtime.upsample import Surface
from model_store.tools.dataset.labelled import VOID
from model_store.tools.train.data.prefetch import prefetched
from model_store.tools.train.depthwise import use_fp32_gradients
from model_store.tools.train.loss import pixel_loss
from model_store.tools.train.options import TrainOptions
from model_store.tools.train.schedule import rate_factor, stages
from model_store.tools.train.trainer import Trainer, parameter_groups
from tests.support.toys import NARROW_VGG


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


def test_the_loss_of_a_full_size_map_is_the_cross_entropy_of_the_sampled_pixels() -> None:
    torch.manual_seed(0)
    scores, labels = torch.randn(2, 3, 8, 8), torch.randint(0, 3, (2, 8, 8))
    expected = cross_entropy(scores[:, :, 1::2, ::2], labels[:, 1::2, ::2])
    torch.testing.assert_close(pixel_loss(scores, labels.to(torch.uint8), (1, 0)), expected)


def test_void_pixels_have_no_gradient() -> None:
    torch.manual_seed(0)
    scores = torch.randn(1, 3, 4, 4, requires_grad=True)
    labels = torch.zeros(1, 4, 4, dtype=torch.uint8)
    labels[:, :2] = VOID
    pixel_loss(scores, labels, (0, 0)).backward()  # type: ignore[no-untyped-call]  # in torch
    assert scores.grad is not None
    assert not scores.grad[:, :, :2].any()
    assert scores.grad[:, :, 2, 0].any()


def test_a_crop_of_void_alone_has_no_loss() -> None:
    labels = torch.full((1, 4, 4), VOID, dtype=torch.uint8)
    assert pixel_loss(torch.randn(1, 3, 4, 4), labels, (0, 0)) == 0


def test_a_coarse_map_is_upsampled_as_in_serving() -> None:
    """Away from the edges, the labels of serving have the least loss."""
    torch.manual_seed(0)
    coarse = 100 * torch.randn(1, 3, 6, 6)
    served = Surface(coarse[0], FRACTIONS[0], (48, 48), (48, 48)).labels()[None]
    inner = torch.full_like(served, VOID)
    inner[:, 4:44, 4:44] = served[:, 4:44, 4:44]
    losses = {
        shift: min(float(pixel_loss(coarse, inner.roll(shift, 2), phase)) for phase in PHASES)
        for shift in (-2, 0, 2)
    }
    assert min(losses, key=lambda shift: losses[shift]) == 0


PHASES = ((0, 0), (0, 1), (1, 0), (1, 1))


def test_the_backbone_has_a_lower_rate_and_biases_no_weight_decay() -> None:
    net = ARCHITECTURES["fcn8s-lite0"](2)
    groups = parameter_groups(net, TrainOptions(rate=1e-2, backbone_rate=0.1, weight_decay=0.5))
    settings = {
        id(weight): (group["rate"], group["weight_decay"])
        for group in groups
        for weight in group["params"]  # type: ignore[attr-defined]  # a list
    }
    by_name = {name: settings.get(id(weight)) for name, weight in net.named_parameters()}
    assert by_name["backbone.stem.weight"] == pytest.approx((1e-3, 0.5))
    assert by_name["backbone.bn0.weight"] == pytest.approx((1e-3, 0))
    assert by_name["score_fr.weight"] == pytest.approx((1e-2, 0.5))
    assert by_name["score_fr.bias"] == pytest.approx((1e-2, 0))
    assert by_name["upscore2.weight"] is None  # fixed


@pytest.mark.parametrize("architecture", ["fcn8s-lite2", "fcn8s-vgg16"])
def test_early_layers_can_be_frozen(architecture: str) -> None:
    net = ARCHITECTURES[architecture](2, NARROW_VGG)
    Trainer(net, TrainOptions(freeze_early=True))
    trained = {name for name, weight in net.named_parameters() if weight.requires_grad}
    first, last, next_one = {
        "fcn8s-lite2": ("stem", "blocks.3.bn2", "blocks.4.expand"),
        "fcn8s-vgg16": ("conv1_1", "conv2_2", "conv3_1"),
    }[architecture]
    assert f"backbone.{first}.weight" not in trained
    assert f"backbone.{last}.weight" not in trained
    assert f"backbone.{next_one}.weight" in trained


def test_the_average_moves_towards_the_weights() -> None:
    trainer = Trainer(ARCHITECTURES["fcn8s-lite0"](2), TrainOptions(steps=10, warm_up=0, rate=0.1))
    before = trainer.average["score_fr.bias"].clone()
    torch.manual_seed(0)
    pixels = torch.randn(1, 32, 32, 3).numpy()
    labels = torch.ones(1, 32, 32, dtype=torch.uint8).numpy()
    trainer.step(0, (pixels, labels))
    after = trainer.net.get_parameter("score_fr.bias")
    # at step 0 a tenth of the old stays
    torch.testing.assert_close(trainer.average["score_fr.bias"], 0.1 * before + 0.9 * after)


def test_batches_come_in_order_and_an_error_at_its_step() -> None:
    def make(step: int) -> int:
        if step == 5:
            raise ValueError("five")
        return step * step

    batches = prefetched(make, range(2, 9))
    assert list(islice(batches, 3)) == [(2, 4), (3, 9), (4, 16)]
    with pytest.raises(ValueError, match="five"):
        next(batches)


@pytest.mark.parametrize("stride", [1, 2])
def test_fp32_gradients_equal_those_of_the_layer(stride: int) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Sequential(
        torch.nn.Conv2d(6, 6, 5, stride, padding=2, groups=6, bias=False)
    ).to(torch.float32)
    x = torch.randn(2, 6, 9, 11)
    expected = gradients(layer, x)
    use_fp32_gradients(layer)
    assert list(layer.state_dict()) == ["0.weight"]
    for ours, theirs in zip(gradients(layer, x.bfloat16()), expected, strict=True):
        torch.testing.assert_close(ours.float(), theirs, rtol=0.02, atol=0.05)
    torch.testing.assert_close(gradients(layer, x), expected)


def gradients(net: torch.nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    maps = x.detach().requires_grad_()
    net.zero_grad()
    net(maps).float().square().mean().mul(100).backward()
    (weight,) = net.parameters()
    assert maps.grad is not None
    assert weight.grad is not None
    return maps.grad, weight.grad.clone()
