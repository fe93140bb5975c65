"""Every variant computes the same network, by the layers that it names."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from handlers.model_config import load_config
from handlers.net import ARCHITECTURES
from handlers.net.exact.masks import MaskedActivation
from handlers.net.exact.network import ExactNet
from handlers.shared.frame import Frame
from loadtest.gpu_variants.catalogue import SERVED, VARIANTS, variant_network
from loadtest.gpu_variants.layers import (
    CudnnConvRelu,
    DepthwiseTaps,
    MaskedTop,
    PointwiseLinear,
    ShiftedActivation,
    Top,
    TorchDepthwise,
)
from tests.support.toys import NARROW_PAPER_VGG, NARROW_VGG, Toy, randomised, run_masked
from tests.support.worker import MODEL, cpu, sample

CLASSES = 21
# of the largest score: sums in another order, through 60 layers of random weights
SAME_FUNCTION = 2e-4
CANVAS = (96, 96)
PHOTOS = [
    torch.randn(3, *size, generator=torch.Generator().manual_seed(5))
    for size in ((64, 96), (32, 32))
]

NETS: dict[str, nn.Module] = {
    "lite0": randomised(ARCHITECTURES["fcn8s-lite0"](CLASSES)),
    "vgg16": randomised(ARCHITECTURES["fcn8s-vgg16"](CLASSES, NARROW_VGG)),
    "vgg16-padding-100": randomised(ARCHITECTURES["fcn8s-vgg16"](CLASSES, NARROW_PAPER_VGG)),
    "toy": randomised(Toy()),
}
OTHERS = [name for name in VARIANTS if name != SERVED]


def variant(name: str, net: str = "lite0") -> ExactNet:
    return ExactNet(deepcopy(NETS[net]), VARIANTS[name])


def layers_of(name: str, net: str = "lite0") -> Counter[type[nn.Module]]:
    return Counter(type(layer) for layer in variant(name, net).modules())


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("name", OTHERS)
@torch.inference_mode()
def test_a_variant_computes_the_same_network(name: str, net: str) -> None:
    expected = run_masked(variant(SERVED, net), PHOTOS, CANVAS)
    for scores, others in zip(
        run_masked(variant(name, net), PHOTOS, CANVAS), expected, strict=True
    ):
        tolerance = SAME_FUNCTION * others.abs().max().item()
        torch.testing.assert_close(scores, others, rtol=0, atol=tolerance)


def test_the_served_network_has_plain_convolutions() -> None:
    layers = layers_of(SERVED)
    # 16 blocks of an expansion (but the first), a filter and a projection; stem, head, three scores
    assert layers[nn.Conv2d] == 16 * 3 - 1 + 2 + 3
    assert (layers[MaskedActivation], layers[nn.ReLU6]) == (16, 17)


def test_linear_layers_take_all_convolutions_of_a_point() -> None:
    layers = layers_of("linear")
    assert layers[PointwiseLinear] == 15 + 16 + 1 + 3
    assert layers[nn.Conv2d] == 1 + 16  # the stem, and the depthwise ones


def test_biases_move_from_filters_to_projections() -> None:
    net = variant("linear, biases moved")
    filters = [
        layer for layer in net.modules() if isinstance(layer, nn.Conv2d) and layer.groups > 1
    ]
    assert [layer.bias for layer in filters] == [None] * 16
    layers = layers_of("linear, biases moved")
    assert (layers[ShiftedActivation], layers[nn.ReLU6]) == (16, 1)  # the head's is after a linear
    assert layers_of("linear, biases moved", "vgg16")[ShiftedActivation] == 1  # of fc6


def test_cudnn_takes_all_convolutions_with_an_activation() -> None:
    layers = layers_of("fused by cuDNN")
    assert layers[CudnnConvRelu] == 15 + 16 + 2
    assert (layers[MaskedTop], layers[Top]) == (16, 17)
    assert not layers[MaskedActivation] + layers[nn.ReLU6]
    layers = layers_of("fused by cuDNN", "vgg16")
    assert layers[CudnnConvRelu] == 15
    assert layers[nn.ReLU] == layers[Top] == 0


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("torch's depthwise kernel", TorchDepthwise),
        ("linear, depthwise as sums, compiled", DepthwiseTaps),
    ],
)
def test_each_filter_is_replaced(name: str, kind: type[nn.Module]) -> None:
    layers = layers_of(name)
    assert layers[kind] == 16
    assert layers[nn.Conv2d] + layers[PointwiseLinear] == 15 + 16 + 2 + 3


Sizes = Sequence[int]


def conv_relu(
    self: Tensor,
    weight: Tensor,
    bias: Tensor,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> Tensor:
    return conv2d(self, weight, bias, stride, padding, dilation, groups).relu()


def depthwise(
    self: Tensor,
    weight: Tensor,
    kernel_size: Sizes,
    bias: Tensor,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
) -> Tensor:
    assert self.is_contiguous()
    assert tuple(kernel_size) == tuple(weight.shape[2:])
    return conv2d(self, weight, bias, stride, padding, dilation, len(weight))


@pytest.mark.parametrize("stand_in", [conv_relu, depthwise])
@torch.inference_mode()
def test_operations_that_only_cuda_has_get_their_arguments_in_order(
    stand_in: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = {"conv_relu": "cudnn_convolution_relu", "depthwise": "_conv_depthwise2d"}[
        stand_in.__name__  # type: ignore[attr-defined]  # a function
    ]
    schema = getattr(torch.ops.aten, name).default._schema
    assert [each.name for each in schema.arguments] == list(stand_in.__annotations__)[:-1]
    monkeypatch.setattr(torch.ops.aten, name, stand_in)
    layer = nn.Conv2d(16, 16, (3, 5), (2, 1), (1, 4), (1, 2), groups=16)
    maps = torch.randn(2, 16, 9, 12).contiguous(memory_format=torch.channels_last)
    if stand_in is conv_relu:
        assert torch.equal(CudnnConvRelu(layer).by_cudnn(maps), layer(maps).relu())
    else:
        torch.testing.assert_close(TorchDepthwise(layer).by_torch(maps), layer(maps))


@pytest.mark.parametrize("kind", [CudnnConvRelu, TorchDepthwise, DepthwiseTaps])
@torch.inference_mode()
def test_other_convolutions_know_strides_margins_and_holes(kind: type[nn.Module]) -> None:
    layer = nn.Conv2d(8, 8, (3, 5), (2, 1), (1, 4), (1, 2), groups=8)
    maps = torch.randn(2, 8, 9, 12).contiguous(memory_format=torch.channels_last)
    expected = layer(maps).relu() if kind is CudnnConvRelu else layer(maps)
    made = kind(layer)(maps)
    torch.testing.assert_close(made, expected)
    assert made.is_contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def test_linear_layers_keep_maps_channels_last() -> None:
    maps = torch.randn(2, 8, 9, 12).contiguous(memory_format=torch.channels_last)
    made = PointwiseLinear(nn.Conv2d(8, 16, 1))(maps)
    assert made.is_contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def test_what_overflows_in_fp16_does_not_leave_a_photo() -> None:
    maps = torch.tensor([[[[2.0, float("nan"), float("inf")], [float("nan"), 0.0, 7.0]]]])
    limits = torch.tensor([[[[6.0, 0.0, 6.0], [0.0, 6.0, 6.0]]]])
    left = MaskedTop(0, 6.0)(maps.half(), {0: limits.half()})
    assert left.tolist() == [[[[2, 0, 6], [0, 0, 6]]]]


def test_a_workers_network_takes_a_variant() -> None:
    device = dataclasses.replace(cpu(), torch_device=torch.device("cpu", 0))
    photo, config = sample("cat")[:128, :128], load_config(MODEL)
    served, linear = (variant_network(name)(config, MODEL, device) for name in (SERVED, "linear"))
    assert any(isinstance(layer, PointwiseLinear) for layer in linear._net.modules())
    (one,), (other,) = (net.scores([photo], Frame(128, 128)) for net in (served, linear))
    torch.testing.assert_close(one, other, rtol=0, atol=SAME_FUNCTION * one.abs().max().item())
