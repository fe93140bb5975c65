"""EfficientNet-Lite0 as a fully convolutional backbone: photo in, features of strides 8, 16 and 32
out.

Source: Tan and Le, "EfficientNet" (ICML 2019), table 1; its Lite variant drops squeeze-and-
excitation and uses ReLU6 (tensorflow/tpu, `models/official/efficientnet/lite`). Parameter names are
those of the starter checkpoint.
"""

from typing import NamedTuple

from torch import Tensor, nn

from handlers.net.backbone import Backbone

BATCH_NORM_EPS = 1e-3

STEM_CHANNELS = 32
HEAD_CHANNELS = 1280


class Stage(NamedTuple):
    """One row of the paper's table 1: `repeats` blocks, of which the first has `stride`."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels_in: int
    channels_out: int


STAGES = (
    Stage(1, 3, 1, 1, 32, 16),
    Stage(2, 3, 2, 6, 16, 24),
    Stage(2, 5, 2, 6, 24, 40),
    Stage(3, 3, 2, 6, 40, 80),
    Stage(3, 5, 1, 6, 80, 112),
    Stage(4, 5, 2, 6, 112, 192),
    Stage(1, 3, 1, 6, 192, 320),
)


def same_pad(kernel: int, stride: int) -> nn.Module:
    """Zeros for TensorFlow's SAME padding: `kernel - stride` in all, the smaller half first.

    On inputs that the stride divides, `H` then becomes exactly `H / stride`. Where both halves are
    equal the convolution pads by itself (see `same_conv`) and nothing is left to do here.
    """
    total = max(kernel - stride, 0)
    before, after = total // 2, total - total // 2
    return nn.Identity() if before == after else nn.ZeroPad2d((before, after, before, after))


def same_conv(
    channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    """Make a convolution without bias that follows `same_pad`."""
    total = max(kernel - stride, 0)
    padding = total // 2 if total % 2 == 0 else 0
    return nn.Conv2d(channels_in, channels_out, kernel, stride, padding, groups=groups, bias=False)


def batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPS)


class InvertedBottleneck(nn.Module):
    """Expand (1x1), filter each channel (depthwise), project (1x1); a residual where shapes
    agree.
    """

    def __init__(self, stage: Stage, *, first: bool) -> None:
        super().__init__()
        channels_in = stage.channels_in if first else stage.channels_out
        stride = stage.stride if first else 1
        hidden = channels_in * stage.expansion
        self.expands = stage.expansion > 1
        self.adds_input = stride == 1 and channels_in == stage.channels_out
        if self.expands:
            self.expand = same_conv(channels_in, hidden, 1)
            self.bn0 = batch_norm(hidden)
            self.relu0 = nn.ReLU6(inplace=True)
        self.pad = same_pad(stage.kernel, stride)
        self.dw = same_conv(hidden, hidden, stage.kernel, stride, groups=hidden)
        self.bn1 = batch_norm(hidden)
        self.relu1 = nn.ReLU6(inplace=True)
        self.project = same_conv(hidden, stage.channels_out, 1)
        self.bn2 = batch_norm(stage.channels_out)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.relu0(self.bn0(self.expand(x))) if self.expands else x
        y = self.relu1(self.bn1(self.dw(self.pad(y))))
        y = self.bn2(self.project(y))
        return x + y if self.adds_input else y


class Lite0(Backbone):
    """EfficientNet-Lite0 without its classifier, built of plain torch layers only."""

    channels = (40, 112, HEAD_CHANNELS)

    def __init__(self) -> None:
        super().__init__()
        self.pad = same_pad(3, 2)
        self.stem = same_conv(3, STEM_CHANNELS, 3, stride=2)
        self.bn0 = batch_norm(STEM_CHANNELS)
        self.relu0 = nn.ReLU6(inplace=True)
        self.blocks = nn.ModuleList(
            InvertedBottleneck(stage, first=index == 0)
            for stage in STAGES
            for index in range(stage.repeats)
        )
        self.head = same_conv(STAGES[-1].channels_out, HEAD_CHANNELS, 1)
        self.bn1 = batch_norm(HEAD_CHANNELS)
        self.relu1 = nn.ReLU6(inplace=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (N, 3, H, W) to (N, 40, H/8, W/8), (N, 112, H/16, W/16) and (N, 1280, H/32, W/32)."""
        x = self.relu0(self.bn0(self.stem(self.pad(x))))  # (N, 32, H/2, W/2)
        for block in self.blocks[:5]:
            x = block(x)
        pool3 = x  # (N, 40, H/8, W/8)
        for block in self.blocks[5:11]:
            x = block(x)
        pool4 = x  # (N, 112, H/16, W/16)
        for block in self.blocks[11:]:
            x = block(x)
        return pool3, pool4, self.relu1(self.bn1(self.head(x)))
