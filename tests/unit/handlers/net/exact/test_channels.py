"""On a GPU channels are padded to multiples of eight, which changes no score; on a CPU never."""

import pytest
import torch
from torch import Tensor, nn

from handlers.net import ARCHITECTURES
from handlers.net.exact.channels import KeepChannels
from handlers.net.exact.masks import Mask, fuse_masks
from handlers.net.exact.network import ExactNet
from handlers.net.exact.rewrite import MASKS, Blanking
from handlers.net.options import Upsampling
from tests.support.toys import NARROW_PAPER_VGG, NARROW_VGG, Toy, lay_out, randomised, run_masked

CLASSES = 21
PHOTOS = [
    torch.randn(3, *size, generator=torch.Generator().manual_seed(5))
    for size in ((64, 96), (32, 32))
]
CANVAS = (96, 96)
DENSE = Upsampling(between="dense", last="dense")

NETS: dict[str, nn.Module] = {
    "lite0": ARCHITECTURES["fcn8s-lite0"](CLASSES),
    "lite0-dense": ARCHITECTURES["fcn16s-lite0"](CLASSES, upsampling=DENSE),
    "vgg16": ARCHITECTURES["fcn8s-vgg16"](CLASSES, NARROW_VGG),
    "vgg16-padding-100-dense": ARCHITECTURES["fcn8s-vgg16"](CLASSES, NARROW_PAPER_VGG, DENSE),
    "toy": Toy(),
}
each_net = pytest.mark.parametrize("net", NETS.values(), ids=NETS)


class Branches(nn.Module):
    """Joins maps of which one is padded and one is not, and calls a layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, padding=1)
        self.grouped = nn.Conv2d(12, 12, 3, padding=1, groups=3)
        self.twice = nn.Conv2d(12, 12, 1)
        self.each = nn.Conv2d(12, 24, 3, padding=1, groups=12)
        self.score = nn.ConvTranspose2d(24, 5, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.grouped(x)
        scores: Tensor = self.score(self.each(self.twice(self.twice(x)) + x))
        return scores


def unpadded(net: nn.Module) -> ExactNet:
    return ExactNet(net, Blanking(Mask, (fuse_masks,)))


def assert_same_scores(net: nn.Module) -> None:
    randomised(net)
    expected = run_masked(unpadded(net), PHOTOS, CANVAS)
    for scores, others in zip(
        run_masked(ExactNet(net, MASKS), PHOTOS, CANVAS), expected, strict=True
    ):
        assert scores.shape == others.shape
        torch.testing.assert_close(scores, others, rtol=0, atol=1e-5 * others.abs().max().item())


@each_net
@torch.inference_mode()
def test_padding_changes_no_score(net: nn.Module) -> None:
    assert_same_scores(net)


@torch.inference_mode()
def test_layers_that_cannot_be_padded_get_the_plain_networks_channels() -> None:
    net = Branches()
    assert_same_scores(net)
    kept = [layer for layer in ExactNet(net, MASKS).modules() if isinstance(layer, KeepChannels)]
    assert {layer.channels for layer in kept} == {12, 5}


@pytest.mark.parametrize("name", ["lite0", "lite0-dense", "vgg16", "vgg16-padding-100-dense"])
def test_all_maps_of_the_networks_have_multiples_of_eight_channels(name: str) -> None:
    exact = ExactNet(NETS[name].eval(), MASKS)
    convolutions = [
        layer for layer in exact.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    ]
    assert len(convolutions) > 10
    assert {layer.in_channels % 8 for layer in convolutions} == {0}
    assert {layer.out_channels % 8 for layer in convolutions} == {0}
    assert exact.canvas_channels == 8
    (kept,) = [layer for layer in exact.modules() if isinstance(layer, KeepChannels)]
    assert kept.channels == CLASSES  # of the scores that the network returns


@each_net
def test_a_network_of_a_cpu_has_the_plain_networks_channels(net: nn.Module) -> None:
    exact = ExactNet(net.eval())
    assert exact.canvas_channels == 3
    assert not any(isinstance(layer, KeepChannels) for layer in exact.modules())
    weights = dict(exact.graph.named_parameters())
    plain = dict(net.named_parameters())
    assert len(weights.keys() & plain.keys()) > 5
    for name in weights.keys() & plain.keys():
        assert weights[name].shape == plain[name].shape


@torch.inference_mode()
def test_padding_leaves_the_plain_network_as_it_is() -> None:
    net = randomised(ARCHITECTURES["fcn8s-vgg16"](CLASSES, NARROW_VGG))
    canvas = lay_out(PHOTOS, CANVAS)
    before = net(canvas)
    ExactNet(net, MASKS)
    assert torch.equal(net(canvas), before)
    assert net.get_submodule("score_fr").out_channels == CLASSES


def test_weights_beyond_the_plain_networks_are_zeros() -> None:
    net = randomised(nn.Sequential(nn.Conv2d(3, 21, 3), nn.ConvTranspose2d(21, 21, 4, groups=21)))
    weights = dict(ExactNet(net, MASKS).graph.named_parameters())
    assert weights["0.weight"].shape == (24, 8, 3, 3)
    assert weights["1.weight"].shape == (24, 1, 4, 4)
    for name, plain in net.named_parameters():
        own = weights[name][tuple(map(slice, plain.shape))]
        assert torch.equal(own, plain)
        assert weights[name].count_nonzero() == plain.count_nonzero()
