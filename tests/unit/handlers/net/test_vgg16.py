"""VGG16 as published, and its options."""

import pytest
import torch
from pydantic import ValidationError

from handlers.net import ARCHITECTURES
from handlers.net.options import VggOptions
from handlers.net.vgg16 import Vgg16
from tests.support.toys import NARROW_PAPER_VGG, NARROW_VGG, narrow_vgg

# 14.7 million of VGG16's convolutions, 119.5 million of fc6 and fc7 (Simonyan and Zisserman, table
# 2, less the 4.1 million of its last layer)
BACKBONE_PARAMETERS = 134_260_544

PAPERS_LAYERS = {
    *("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3"),
    *("conv4_1", "conv4_2", "conv4_3", "conv5_1", "conv5_2", "conv5_3", "fc6", "fc7"),
}


def test_the_default_is_the_papers_network() -> None:
    with torch.device("meta"):
        net = ARCHITECTURES["fcn8s-vgg16"](21)
    assert net.frame_stride == 1
    parameters = dict(net.backbone.named_parameters())
    assert sum(each.numel() for each in parameters.values()) == BACKBONE_PARAMETERS
    assert {name.split(".")[0] for name in parameters} == PAPERS_LAYERS
    assert parameters["fc6.weight"].shape == (4096, 512, 7, 7)
    assert parameters["fc7.weight"].shape == (4096, 4096, 1, 1)


def test_same_padding_is_an_option() -> None:
    net = ARCHITECTURES["fcn8s-vgg16"](5, NARROW_VGG)
    assert net.frame_stride == 32
    shapes = {name: tuple(weight.shape) for name, weight in net.named_parameters()}
    assert shapes["score_fr.weight"] == (5, 32, 1, 1)
    assert shapes["score_pool4.weight"] == shapes["score_pool3.weight"] == (5, 16, 1, 1)


@torch.inference_mode()
def test_maps_are_exact_fractions_with_same_padding() -> None:
    pool3, pool4, top = narrow_vgg().backbone(torch.zeros(1, 3, 64, 96))
    assert pool3.shape == (1, 16, 8, 12)
    assert pool4.shape == (1, 16, 4, 6)
    assert top.shape == (1, 32, 2, 3)


@torch.inference_mode()
def test_even_one_pixel_lies_under_a_full_window_with_padding_100() -> None:
    # a 500x500 photo's top map has 16x16 points in the published model
    top = narrow_vgg(NARROW_PAPER_VGG).backbone(torch.zeros(1, 3, 1, 500))[2]
    assert top.shape == (1, 32, 1, 16)


def test_a_backbone_takes_pairs_of_channels_for_its_five_stages() -> None:
    with pytest.raises(ValueError, match="zip"):
        Vgg16(channels=(8, 8))


@pytest.mark.parametrize(
    "options",
    [
        {"padding": 50},
        {"padding": "valid"},
        {"channels": [8, 8]},
        {"fc_channels": 0},
        {"chanels": [8, 8, 8, 8, 8]},
    ],
    ids=str,
)
def test_options_that_mean_nothing_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        VggOptions.model_validate(options)


def test_options_read_as_model_yaml_writes_them() -> None:
    written = {"padding": "same", "channels": [8, 8, 16, 16, 16], "fc_channels": 32}
    assert VggOptions.model_validate(written) == NARROW_VGG
    assert VggOptions.model_validate({"padding": 100}) == VggOptions()
