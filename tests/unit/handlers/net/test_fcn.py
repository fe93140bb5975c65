"""The formulas give the paper's geometry, and the FCN part the paper's networks."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from handlers.net import ARCHITECTURES
from handlers.net.exact.geometry import PHOTO
from handlers.net.exact.layers import CropLike
from handlers.net.fcn import FCN, LAST_LAYERS
from handlers.net.lite import Lite
from handlers.net.options import Kernels, Upsampling
from handlers.net.placement import crop_offset, placements_of
from handlers.net.upsampling import upsampled, upsampler
from handlers.runtime.upsample.processor import ScoreGrid
from tests.support.paper import bilinear, crop, papers_scores, upscore
from tests.support.toys import NARROW_PAPER_VGG, NARROW_VGG, narrow_vgg, randomised

CLASSES = 5
STRIDES = (32, 16, 8)
# of the published networks, where the last upsampling is cut to the photo
LAST_OFFSETS = {32: 19, 16: 27, 8: 31}
BETWEEN_OFFSETS = {32: [], 16: [5], 8: [5, 9]}

each_stride = pytest.mark.parametrize("stride", STRIDES)
each_kind = pytest.mark.parametrize("kernels", ["bilinear", "per_class", "dense"])


def paper_net(stride: int, kernels: Kernels = "bilinear") -> FCN:
    upsampling = Upsampling(between=kernels, last=kernels)
    net = ARCHITECTURES[f"fcn{stride}s-vgg16"](CLASSES, NARROW_PAPER_VGG, upsampling)
    return randomised(net)


def published(net: FCN) -> dict[str, Tensor]:
    return {name.removeprefix("backbone."): value for name, value in net.state_dict().items()}


def balanced(net: FCN) -> FCN:
    """Centre the score weights, or one class would win everywhere."""
    for name, weight in net.named_parameters():
        if name.startswith("score_") and name.endswith("weight"):
            weight.data -= weight.mean(dim=1, keepdim=True)
    return net


def at_every_pixel(net: FCN, photo: Tensor) -> Tensor:
    scores: Tensor = net(photo)
    placement = net.score_placement
    if placement == PHOTO:
        return scores
    factor = int(placement.stride)
    return crop(upscore(scores, factor), crop_offset(PHOTO, upsampled(placement, factor, 0)), photo)


@pytest.mark.parametrize("size", [(1, 1), (37, 70), (64, 48)], ids=str)
@each_kind
@each_stride
@torch.inference_mode()
def test_padding_100_is_the_papers_network(
    stride: int, kernels: Kernels, size: tuple[int, int]
) -> None:
    net = paper_net(stride, kernels)
    photo = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(4))
    expected = papers_scores(published(net), photo, stride)
    scores = at_every_pixel(net, photo)
    assert scores.shape == expected.shape == (1, CLASSES, *size)
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


@each_kind
@each_stride
@torch.inference_mode()
def test_labels_are_those_of_the_papers_network(stride: int, kernels: Kernels) -> None:
    net = balanced(paper_net(stride, kernels))
    photo = torch.randn(1, 3, 45, 67, generator=torch.Generator().manual_seed(4))
    photo[..., 30:] *= 20
    expected = papers_scores(published(net), photo, stride)[0].argmax(0)
    labels = ScoreGrid(net(photo)[0], net.score_placement, (45, 67), (45, 67)).labels()
    assert (labels == expected).float().mean() >= 0.999
    assert len(set(expected.flatten().tolist())) > 1


@each_stride
def test_crop_offsets_are_the_papers(stride: int) -> None:
    offsets = [layer.offset for layer in paper_net(stride, "dense").modules() if is_crop(layer)]
    assert offsets == [*BETWEEN_OFFSETS[stride], LAST_OFFSETS[stride]]
    placement = paper_net(stride).score_placement
    assert placement.stride == stride
    assert crop_offset(PHOTO, upsampled(placement, stride, 0)) == LAST_OFFSETS[stride]


def is_crop(layer: object) -> bool:
    return isinstance(layer, CropLike)


@each_stride
def test_only_learned_kernels_learn(stride: int) -> None:
    names = {*("upscore2", "upscore_pool4")[: STRIDES.index(stride)], LAST_LAYERS[stride]}
    learned = {
        name.removesuffix(".weight"): weight.requires_grad
        for name, weight in paper_net_unfrozen(stride, "per_class").named_parameters()
        if name.startswith("upscore")
    }
    assert learned == dict.fromkeys(names, True)
    fixed = paper_net_unfrozen(stride, "bilinear").named_parameters()
    assert not any(weight.requires_grad for name, weight in fixed if name.startswith("upscore"))


def paper_net_unfrozen(stride: int, kernels: Kernels) -> FCN:
    upsampling = Upsampling(between=kernels, last=kernels)
    return ARCHITECTURES[f"fcn{stride}s-vgg16"](CLASSES, NARROW_PAPER_VGG, upsampling)


@pytest.mark.parametrize("backbone", ["vgg16", "lite0"])
@each_stride
@torch.inference_mode()
def test_scores_have_a_fraction_of_a_frame(stride: int, backbone: str) -> None:
    net = ARCHITECTURES[f"fcn{stride}s-{backbone}"](5, NARROW_VGG).eval()
    assert net(torch.zeros(1, 3, 64, 96)).shape == (1, 5, 64 // stride, 96 // stride)
    assert (net.frame_stride, net.score_placement) == (32, ((stride - 1) / 2, stride))


@pytest.mark.parametrize("backbone", ["vgg16", "lite0"])
@each_stride
@torch.inference_mode()
def test_a_last_layer_scores_every_pixel_as_interpolation_does(stride: int, backbone: str) -> None:
    short, full = (
        randomised_but_upsampling(ARCHITECTURES[f"fcn{stride}s-{backbone}"](5, NARROW_VGG, up))
        for up in (Upsampling(), Upsampling(between="dense", last="dense"))
    )
    full.load_state_dict(
        {key: value for key, value in short.state_dict().items() if not key.startswith("upscore")},
        strict=False,
    )
    photo = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(4))
    size, own_size = (50, 90), (75, 200)
    few, every = short(photo)[0], full(photo)[0]
    assert every.shape == (5, 64, 96)
    for asked in (size, own_size):
        one = ScoreGrid(few, short.score_placement, size, asked).labels()
        other = ScoreGrid(every, full.score_placement, size, asked).labels()
        assert (one == other).float().mean() >= (0.999 if asked == size else 0.99)


def randomised_but_upsampling(net: FCN) -> FCN:
    """Leave learned kernels as they begin: bilinear."""
    kept = {key: value for key, value in net.state_dict().items() if key.startswith("upscore")}
    kept = {key: value.clone() for key, value in kept.items()}
    randomised(net).load_state_dict(kept, strict=False)
    return net


def test_the_maps_of_frames_lie_in_the_middle_of_their_cells() -> None:
    for backbone in (narrow_vgg().backbone, Lite()):
        for placement, stride in zip(placements_of(backbone), (8, 16, 32), strict=True):
            assert placement.stride == stride
            # lite0 pads less before than after, as TensorFlow does
            assert abs(placement.origin - (stride - 1) / 2) <= stride / 2


@each_kind
@pytest.mark.parametrize("factor", [2, 8, 16, 32])
@torch.inference_mode()
def test_upsampling_begins_linear_between_points(factor: int, kernels: Kernels) -> None:
    up = upsampler(3, factor, factor // 2, kernels)
    ramp = torch.arange(6.0).repeat(3, 1)[None, :, None, :].expand(1, 3, 6, 6)
    row = up(ramp)[0, 1, 3 * factor].tolist()
    assert len(row) == 6 * factor
    steps = [after - before for before, after in pairwise(row[factor:-factor])]
    assert steps == pytest.approx([1 / factor] * len(steps), abs=1e-6)
    each = up.weight[range(3), range(3)] if kernels == "dense" else up.weight[:, 0]
    assert torch.equal(each, bilinear(3, factor)[:, 0])
