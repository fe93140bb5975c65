"""Parameter groups, frozen layers and EMA weights of a trainer."""

import pytest
import torch

from handlers.net import ARCHITECTURES
from model_store.tools.train.options import TrainOptions
from model_store.tools.train.trainer import Trainer, parameter_groups
from tests.support.toys import NARROW_VGG


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
