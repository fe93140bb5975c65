"""The FCN part: the paper's geometry comes out of the formulas, and its network out of ours."""

from collections.abc import Mapping
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, max_pool2d, relu

from handlers.net import fcn8s_lite0, fcn8s_vgg16
from handlers.net.fcn import FCN8s, PaddedFCN8s, bilinear_upsampling
from handlers.net.geometry import PHOTO, Place, Transposed
from handlers.net.lite0 import Lite0
from handlers.net.placement import crop_offset, places_of
from handlers.net.vgg16 import STAGE_LAYERS
from tests.toys import NARROW_PAPER_VGG, narrow_vgg, randomised

CLASSES = 5


def bilinear(factor: int) -> Tensor:
    """The paper's kernel as its published `surgery.py` draws it: (CLASSES, 1, 2f, 2f)."""
    centre = factor - 0.5
    ramp = torch.tensor([1 - abs(row - centre) / factor for row in range(2 * factor)])
    return (ramp[:, None] * ramp[None, :]).repeat(CLASSES, 1, 1, 1)


def upscore(scores: Tensor, factor: int) -> Tensor:
    return conv_transpose2d(scores, bilinear(factor), stride=factor, groups=CLASSES)


def crop(scores: Tensor, offset: int, like: Tensor) -> Tensor:
    height, width = like.shape[2:]
    return scores[:, :, offset : offset + height, offset : offset + width]


def papers_scores(state: Mapping[str, Tensor], photo: Tensor) -> Tensor:
    """FCN-8s of the paper (its published `voc-fcn8s/net.py`) with the numbers that stand there."""

    def convolve(x: Tensor, name: str, padding: int = 0) -> Tensor:
        return conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=padding)

    x, pools = photo, []
    for stage, layers in enumerate(STAGE_LAYERS, 1):
        for layer in range(1, layers + 1):
            padding = 100 if stage == layer == 1 else 1
            x = relu(convolve(x, f"backbone.conv{stage}_{layer}", padding))
        x = max_pool2d(x, 2, 2, ceil_mode=True)
        pools.append(x)
    x = relu(convolve(relu(convolve(x, "backbone.fc6")), "backbone.fc7"))
    up16 = upscore(convolve(x, "score_fr"), 2)
    fused16 = up16 + crop(convolve(pools[3], "score_pool4"), 5, up16)
    up8 = upscore(fused16, 2)
    fused8 = up8 + crop(convolve(pools[2], "score_pool3"), 9, up8)
    return crop(upscore(fused8, 8), 31, photo)


@pytest.mark.parametrize("size", [(1, 1), (37, 70), (64, 48)], ids=str)
@torch.inference_mode()
def test_padding_100_is_the_papers_network(size: tuple[int, int]) -> None:
    net = narrow_vgg(NARROW_PAPER_VGG)
    photo = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(4))
    expected = papers_scores(net.state_dict(), photo)
    pixels = Transposed(kernel=16, stride=8, padding=0).place(Place(net.score_origin, 8))
    scores = crop(upscore(net(photo), 8), crop_offset(PHOTO, pixels), photo)
    assert scores.shape == expected.shape == (1, CLASSES, *size)
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def test_crop_offsets_are_the_papers() -> None:
    net = fcn8s_vgg16(CLASSES, NARROW_PAPER_VGG)
    assert isinstance(net, PaddedFCN8s)
    assert (net.crop_pool4.offset, net.crop_pool3.offset) == (5, 9)
    assert net.score_origin == -23.5
    assert net.frame_stride == 1
    pixels = Transposed(kernel=16, stride=8, padding=0).place(Place(net.score_origin, 8))
    assert crop_offset(PHOTO, pixels) == 31


@pytest.mark.parametrize("net", [narrow_vgg(), randomised(fcn8s_lite0(5))], ids=["vgg16", "lite0"])
@torch.inference_mode()
def test_scores_have_an_eighth_of_a_frame(net: FCN8s) -> None:
    assert net(torch.zeros(1, 3, 64, 96)).shape == (1, 5, 8, 12)
    assert (net.frame_stride, net.score_origin) == (32, 3.5)


def test_the_maps_of_frames_lie_in_the_middle_of_their_cells() -> None:
    for backbone in (narrow_vgg().backbone, Lite0()):
        for place, stride in zip(places_of(backbone), (8, 16, 32), strict=True):
            assert place.stride == stride
            # lite0 pads less before than after, as TensorFlow does
            assert abs(place.origin - (stride - 1) / 2) <= stride / 2


@pytest.mark.parametrize("factor", [2, 8])
@torch.inference_mode()
def test_upsampling_is_linear_between_points(factor: int) -> None:
    up = bilinear_upsampling(3, factor, padding=factor // 2)
    ramp = torch.arange(6.0).repeat(3, 1)[None, :, None, :].expand(1, 3, 6, 6)
    row = up(ramp)[0, 1, 3 * factor].tolist()
    assert len(row) == 6 * factor
    steps = [after - before for before, after in pairwise(row[factor:-factor])]
    assert steps == pytest.approx([1 / factor] * len(steps))
    assert torch.equal(up.weight[:, 0], bilinear(factor)[:3, 0])
