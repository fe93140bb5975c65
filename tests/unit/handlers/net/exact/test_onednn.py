"""Claims about convolutions on a CPU: what makes them faster changes no bit."""

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn.functional import relu6

from handlers.net.exact.layers import OneDnnConv2d, onednn_computes
from handlers.net.exact.network import ExactNet
from handlers.net.exact.packed_weights import MOST_ORDERS, PackedWeights

DTYPES = [
    pytest.param(
        dtype,
        id=str(dtype).removeprefix("torch."),
        marks=pytest.mark.skipif(not onednn_computes(dtype), reason="not on this processor"),
    )
    for dtype in (torch.float32, torch.bfloat16)
]
# on both sides of where oneDNN changes its mind about the order of weights
MAPS = [(1, 2, 2), (1, 12, 16), (1, 24, 24), (2, 3, 5), (4, 16, 12)]
LAYERS = {
    "stem": nn.Conv2d(3, 32, 3, 2),
    "depthwise": nn.Conv2d(96, 96, 5, 1, 2, groups=96),
    "expand": nn.Conv2d(24, 144, 1),
    "project": nn.Conv2d(1152, 192, 1),
    "whole": nn.Conv2d(64, 64, 3, 1, 1),
}


def map_of(channels: int, shape: tuple[int, int, int], dtype: torch.dtype) -> Tensor:
    images, height, width = shape
    noise = torch.randn(images, channels, height, width, generator=torch.manual_seed(0))
    return noise.to(dtype).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
@torch.inference_mode()
def test_packed_weights_and_activations_on_the_way_change_no_bit(
    layer: nn.Conv2d, dtype: torch.dtype
) -> None:
    ours = OneDnnConv2d.of(layer).to(dtype)
    ours.activation = nn.ReLU6()
    padding = (int(layer.padding[0]), int(layer.padding[1]))
    for shape in [*MAPS, *MAPS]:  # packed, then taken from where it was kept
        x = map_of(layer.in_channels, (shape[0], shape[1] + 4, shape[2] + 4), dtype)
        plain = torch.mkldnn_convolution(
            x, ours.weight, ours.bias, padding, layer.stride, layer.dilation, layer.groups
        )
        assert torch.equal(ours(x), relu6(plain))


@torch.inference_mode()
def test_weights_are_kept_in_few_orders() -> None:
    layer = LAYERS["project"]
    packed = PackedWeights(layer.weight.data, (layer.padding, layer.stride, layer.dilation, 1))
    shapes = [torch.Size((1, 1152, height, width)) for height in range(1, 25) for width in (1, 24)]
    kept = {id(packed.for_map(shape)) for shape in shapes}
    assert 1 <= len(kept) <= MOST_ORDERS + 1


@torch.inference_mode()
def test_weights_that_move_are_packed_anew() -> None:
    ours = OneDnnConv2d.of(nn.Conv2d(24, 144, 1, bias=False))
    x = map_of(24, (1, 8, 8), torch.float32)
    before = ours(x)
    ours.weight.data = 2 * ours.weight.data
    torch.testing.assert_close(ours.float()(x), 2 * before)


class ReadTwice(nn.Module):
    """A convolution whose map is read before its activation, too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        activated: Tensor = self.relu(y)
        return activated + y


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU6()], ids=["relu", "relu6"])
def test_an_activation_is_computed_by_the_convolution_before_it(activation: nn.Module) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), activation, nn.Identity()).eval()
    graph = ExactNet(net).graph
    (convolution,) = (each for each in graph.modules() if isinstance(each, OneDnnConv2d))
    assert convolution.activation is activation
    assert not [node for node in nodes_of(graph) if node.target == "1"]


@torch.inference_mode()
def test_an_activation_stays_where_others_read_the_map_before_it() -> None:
    net = ReadTwice().eval()
    x = map_of(3, (1, 32, 32), torch.float32)
    torch.testing.assert_close(ExactNet(net)(x, [(32, 32)]), net(x))


def nodes_of(graph: fx.GraphModule) -> list[fx.Node]:
    return [node for node in graph.graph.nodes if node.op == "call_module"]
