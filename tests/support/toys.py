"""Small networks for tests: a backbone of every plain layer there is, and ways to run photos.

None of them has code for canvases or batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from handlers.net import ARCHITECTURES
from handlers.net.exact.extents import Size
from handlers.net.exact.network import ExactNet
from handlers.net.fcn import FCN
from handlers.net.options import AlexNetOptions, VggOptions

Net = TypeVar("Net", bound=nn.Module)

NARROW_VGG = VggOptions(padding="same", channels=(8, 8, 16, 16, 16), fc_channels=32)
NARROW_PAPER_VGG = NARROW_VGG.model_copy(update={"padding": 100})
NARROW_ALEXNET = AlexNetOptions(channels=(8, 16, 24, 24, 16), fc_channels=32)


class Toy(nn.Module):
    """Pools before any ReLU, reads maps twice, and has strides, holes and lopsided kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.margin = nn.ZeroPad2d((0, 2, 1, 0))
        self.stem = nn.Conv2d(3, 12, (3, 5), stride=2, padding=(1, 0))
        self.norm = nn.BatchNorm2d(12)
        self.early_pool = nn.MaxPool2d(3, 2, padding=1, ceil_mode=True)
        self.late_norm = nn.BatchNorm2d(12)
        self.same = nn.Identity()
        self.holes = nn.Conv2d(12, 12, 5, padding=4, dilation=2, groups=12)
        self.relu = nn.ReLU(inplace=True)
        self.mix = nn.Conv2d(12, 12, 1)
        self.shared = nn.Conv2d(12, 12, (1, 7), padding=(0, 3))
        self.peak = nn.MaxPool2d((3, 1), 1, padding=(1, 0))
        self.grouped = nn.Conv2d(12, 24, (5, 3), stride=(1, 2), padding=2, groups=4)
        self.up = nn.ConvTranspose2d(24, 10, (4, 5), (2, 3), padding=(1, 2))
        self.up_each = nn.ConvTranspose2d(10, 10, 3, 2, groups=10)
        self.score = nn.Conv2d(10, 4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.late_norm(self.early_pool(self.norm(self.stem(self.margin(x)))))
        peaks = self.peak(self.same(x))
        y = self.mix(self.relu(self.holes(x)))
        y = self.shared(self.shared(y + x) + peaks)
        y = self.relu(self.grouped(y))
        scores: Tensor = self.score(self.up_each(self.up(y)))
        return scores


def randomised(net: Net, seed: int = 0) -> Net:
    """Fill a network with weights that keep maps at a size of about one, biases included."""
    random = torch.Generator().manual_seed(seed)
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            if not layer.weight.requires_grad:  # fixed by the network
                continue
            spread = (2 / (layer.weight[0].numel())) ** 0.5
            layer.weight.data.normal_(0, spread, generator=random)
            if layer.bias is not None:
                layer.bias.data.uniform_(0.2, 0.7, generator=random)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.weight.data.uniform_(0.7, 1.4, generator=random)
            layer.bias.data.uniform_(0.2, 0.7, generator=random)
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.normal_(0, 0.3, generator=random)
            layer.running_var.uniform_(0.7, 1.4, generator=random)
    return net.eval().requires_grad_(requires_grad=False)


def narrow_vgg(options: VggOptions = NARROW_VGG) -> FCN:
    return randomised(ARCHITECTURES["fcn8s-vgg16"](5, options))


@dataclass(frozen=True)
class PhotoBatch:
    """Photos of (height, width) `frames` on one canvas, with noise as their content."""

    frames: list[Size]
    spare: Size  # canvas beyond the largest
    seed: int

    @property
    def canvas(self) -> Size:
        tallest, widest = (max(frame[axis] for frame in self.frames) for axis in (0, 1))
        return tallest + self.spare[0], widest + self.spare[1]

    def photos(self) -> list[Tensor]:
        random = torch.Generator().manual_seed(self.seed)
        return [torch.randn(3, *frame, generator=random) for frame in self.frames]


@st.composite
def photo_batches(draw: st.DrawFn, multiple: int, least: int, most: int) -> PhotoBatch:
    """Up to four photos with sides from `least` to `most`, rounded up to a multiple."""
    side = st.integers(least, most).map(lambda pixels: -(-pixels // multiple) * multiple)
    spare = st.integers(0, most // 2).map(lambda pixels: pixels // multiple * multiple)
    return PhotoBatch(
        draw(st.lists(st.tuples(side, side), min_size=1, max_size=4)),
        draw(st.tuples(spare, spare)),
        draw(st.integers(0, 2**32 - 1)),
    )


def lay_out(photos: Sequence[Tensor], canvas: Size) -> Tensor:
    """Put photos (3, h, w) into the top-left corners of zero canvases: (N, 3, H, W)."""
    canvases = torch.zeros(len(photos), 3, *canvas, dtype=photos[0].dtype)
    for corner, photo in zip(canvases, photos, strict=True):
        corner[:, : photo.shape[1], : photo.shape[2]] = photo
    return canvases


def run(net: ExactNet, photos: Sequence[Tensor], canvas: Size) -> list[Tensor]:
    """Score photos together: each one's own scores."""
    frames = frames_of(photos)
    return own_scores(net, net(lay_out(photos, canvas), frames), frames)


def run_single(net: ExactNet, photo: Tensor) -> Tensor:
    return run(net, [photo], (photo.shape[1], photo.shape[2]))[0]


def run_masked(net: ExactNet, photos: Sequence[Tensor], canvas: Size) -> list[Tensor]:
    """Score photos together as a GPU does: each one's own scores."""
    frames = frames_of(photos)
    wide = torch.zeros(len(photos), *canvas, net.canvas_channels, dtype=photos[0].dtype)
    canvases = wide.permute(0, 3, 1, 2)  # channels_last
    canvases[:, :3] = lay_out(photos, canvas)
    return own_scores(net, net.masked(canvases, net.ends(frames)), frames)


def frames_of(photos: Sequence[Tensor]) -> list[Size]:
    return [(photo.shape[1], photo.shape[2]) for photo in photos]


def own_scores(net: ExactNet, scores: Tensor, frames: Sequence[Size]) -> list[Tensor]:
    """Cut each photo's scores out of those of its canvas."""
    sizes = [net.score_size(frame) for frame in frames]
    return [one[:, :height, :width] for one, (height, width) in zip(scores, sizes, strict=True)]
