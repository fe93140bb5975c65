"""A rewritten network changes no map that other layers read; inexact networks are refused."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from handlers.net.exact.extents import UnfitSizeError
from handlers.net.exact.geometry import UnknownLayerError
from handlers.net.exact.layers import CropLike
from handlers.net.exact.network import ExactNet
from handlers.net.exact.strips import BlankStrips
from tests.support.toys import PhotoBatch, lay_out, randomised, run, run_single

BATCH = PhotoBatch([(9, 13), (16, 11), (5, 5)], (3, 6), seed=3)


class Net(nn.Module):
    """Layers by name, and a function that applies them."""

    def __init__(self, function: Callable[..., Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self._function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def __getitem__(self, name: str) -> Callable[..., Tensor]:
        return self.get_submodule(name)

    def forward(self, x: Tensor) -> Tensor:
        return self._function(self, x)


def conv(kernel: int = 3, channels_in: int = 4, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels_in, 4, kernel, stride, padding=kernel // 2)


def pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, 1, padding=1)


def pooled_map_read_before_and_after(net: Net, x: Tensor) -> Tensor:
    x = net["stem"](x)
    return net["first"](x) + net["pool"](x) + net["second"](x)


def pooled_map_read_under_another_name(net: Net, x: Tensor) -> Tensor:
    x = net["stem"](x)
    y = net["same"](x)
    return net["pool"](y) + net["first"](x)


def pooled_map_made_positive_inplace(net: Net, x: Tensor) -> Tensor:
    x = net["stem"](x)
    y = net["pool"](net["relu"](x))
    return y + net["first"](x)


def pooled_map_added_to_inplace(net: Net, x: Tensor) -> Tensor:
    x = net["stem"](x)
    y = net["point"](x)
    y += net["second"](x)
    return net["pool"](y) + net["first"](y)


def pooled_input(net: Net, x: Tensor) -> Tensor:
    return net["stem"](net["pool"](x)) + net["other"](x)


def pooled_twice(net: Net, x: Tensor) -> Tensor:
    x = net["stem"](x)
    return net["first"](net["pool"](net["pool"](x)))


def map_read_uncropped_and_cropped(net: Net, x: Tensor) -> Tensor:
    x = net["stem"](x)
    small = net["shrink"](x)
    y = net["first"](net["crop"](x, small)) + small
    return y + net["crop"](net["second"](x), small)


def crop_pooled_under_another_name(net: Net, x: Tensor) -> Tensor:
    x = net["stem"](x)
    small = net["shrink"](x)
    y = net["pool"](net["same"](net["crop"](x, small)))
    return y + net["crop"](net["second"](x), small)


NETS = {
    function.__name__: Net(
        function,
        stem=conv(channels_in=3),
        first=conv(5),
        second=conv(),
        other=conv(5, channels_in=3),
        point=conv(1),
        pool=pool(),
        same=nn.Sequential(nn.Identity(), nn.Dropout()),
        relu=nn.ReLU(inplace=True),
        shrink=nn.Conv2d(4, 4, 4),
        crop=CropLike(2),
    )
    for function in (
        pooled_map_read_before_and_after,
        pooled_map_read_under_another_name,
        pooled_map_made_positive_inplace,
        pooled_map_added_to_inplace,
        pooled_input,
        pooled_twice,
        map_read_uncropped_and_cropped,
        crop_pooled_under_another_name,
    )
}


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
@torch.inference_mode()
def test_blanking_changes_no_map_for_other_layers(net: Net) -> None:
    randomised(net)
    exact = ExactNet(net)
    photos = BATCH.photos()
    for photo, scores in zip(photos, run(exact, photos, BATCH.canvas), strict=True):
        assert torch.equal(scores, run_single(exact, photo))
        torch.testing.assert_close(scores, net(photo[None])[0], rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_the_callers_canvas_is_not_blanked() -> None:
    exact = ExactNet(randomised(nn.Sequential(pool(), conv(channels_in=3))))
    canvas = lay_out(BATCH.photos(), BATCH.canvas)
    before = canvas.clone()
    exact(canvas, BATCH.frames)
    assert torch.equal(canvas, before)


def test_a_networks_own_maps_are_blanked_without_a_copy() -> None:
    net = nn.Sequential(conv(channels_in=3), nn.ReLU(inplace=True), nn.MaxPool2d(2), conv()).eval()
    blanks = [layer for layer in ExactNet(net).modules() if isinstance(layer, BlankStrips)]
    assert [blank.inplace for blank in blanks] == [True, True]  # a canvas is zero already
    assert [blank.value for blank in blanks] == [float("-inf"), 0]


def test_pointwise_layers_get_no_blanking() -> None:
    net = nn.Sequential(conv(1, channels_in=3), nn.BatchNorm2d(4), nn.ReLU6(), conv(1)).eval()
    assert not any(isinstance(layer, BlankStrips) for layer in ExactNet(net).modules())


@torch.inference_mode()
def test_a_convolution_with_two_batch_norms_keeps_both() -> None:
    def twice(net: Net, x: Tensor) -> Tensor:
        x = net["stem"](x)
        return net["norm2"](net["conv"](net["norm1"](net["conv"](x))))

    norms = {"norm1": nn.BatchNorm2d(4), "norm2": nn.BatchNorm2d(4)}
    net = randomised(Net(twice, stem=conv(channels_in=3), conv=conv(), **norms))
    photo = BATCH.photos()[0]
    expected = net(photo[None])[0]
    torch.testing.assert_close(run_single(ExactNet(net), photo), expected, rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_the_network_itself_stays_as_it_was() -> None:
    net = randomised(nn.Sequential(conv(channels_in=3), nn.BatchNorm2d(4)))
    ExactNet(net)
    assert [type(layer) for layer in net] == [nn.Conv2d, nn.BatchNorm2d]


REFUSED: dict[str, tuple[nn.Module, str]] = {
    "AdaptiveAvgPool2d": (nn.Sequential(conv(channels_in=3), nn.AdaptiveAvgPool2d(1)), "Adaptive"),
    "GroupNorm": (nn.Sequential(conv(channels_in=3), nn.GroupNorm(2, 4)), "GroupNorm"),
    "SiLU": (nn.Sequential(conv(channels_in=3), nn.SiLU()), "SiLU"),
    "interpolate": (
        Net(lambda net, x: nn.functional.interpolate(net["stem"](x), (7, 7)), stem=conv(3, 3)),
        "function interpolate",
    ),
    "mean": (Net(lambda net, x: net["stem"](x).mean((2, 3)), stem=conv(3, 3)), "'mean'"),
    "view": (Net(lambda net, x: net["stem"](x).view(1, -1), stem=conv(3, 3)), "'view'"),
    "flatten": (
        Net(lambda net, x: torch.flatten(net["stem"](x), 1), stem=conv(3, 3)),
        "function flatten",
    ),
    "two maps": (
        Net(lambda net, x: (net["stem"](x), x), stem=conv(3, 3)),  # type: ignore[arg-type,return-value]  # not one
        "one map",
    ),
}


@pytest.mark.parametrize(("net", "message"), REFUSED.values(), ids=REFUSED)
def test_a_network_that_cannot_be_exact_is_refused_by_name(net: nn.Module, message: str) -> None:
    with pytest.raises(UnknownLayerError, match=message):
        ExactNet(net.eval())


def test_maps_of_different_sizes_are_not_joined() -> None:
    net = Net(
        lambda net, x: net["stem"](x) + net["small"](x), stem=conv(3, 3), small=conv(3, 3, stride=2)
    )
    with pytest.raises(
        UnfitSizeError, match=r"384x512 and 192x256 for a photo of 384x512.*CropLike"
    ):
        ExactNet(net.eval())


def test_a_photo_that_is_too_small_for_the_network_is_refused() -> None:
    exact = ExactNet(nn.Sequential(conv(channels_in=3), nn.MaxPool2d(8)).eval())
    with pytest.raises(UnfitSizeError, match="7x9 is too small"):
        exact(torch.zeros(1, 3, 16, 16), [(7, 9)])


def test_a_crop_from_a_smaller_map_is_refused() -> None:
    net = Net(
        lambda net, x: net["crop"](net["shrink"](x), x), crop=CropLike(0), shrink=nn.MaxPool2d(2)
    )
    with pytest.raises(UnfitSizeError, match=r"crop.* takes maps of 192x256 and 384x512"):
        ExactNet(net.eval())


def test_a_network_in_training_is_refused() -> None:
    with pytest.raises(ValueError, match="eval"):
        ExactNet(nn.Sequential(conv(channels_in=3)))
