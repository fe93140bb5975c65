"""EfficientNet-Lite0 to Lite4 as fully convolutional backbones: photo in, features of strides 8, 16
and 32 out.

Source: Tan and Le, "EfficientNet" (ICML 2019), table 1; the Lite variants drop squeeze-and-
excitation, use ReLU6, and scale neither stem nor head (tensorflow/tpu,
`models/official/efficientnet/lite/efficientnet_lite_builder.py`). Parameter names are those of the
starter checkpoint.
"""

import math
from collections.abc import Iterable
from itertools import accumulate
from typing import NamedTuple, cast

from torch import Tensor, nn

from handlers.net.backbone import Backbone
from handlers.net.options import LiteName, Skips

BATCH_NORM_EPS = 1e-3

STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
# scaled numbers of channels are rounded to multiples of this
CHANNEL_MULTIPLE = 8


class Stage(NamedTuple):
    """One row of the paper's table 1: `repeats` blocks, of which the first has `stride`."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels_in: int
    channels_out: int


LITE0_STAGES = (
    Stage(1, 3, 1, 1, 32, 16),
    Stage(2, 3, 2, 6, 16, 24),
    Stage(2, 5, 2, 6, 24, 40),
    Stage(3, 3, 2, 6, 40, 80),
    Stage(3, 5, 1, 6, 80, 112),
    Stage(4, 5, 2, 6, 112, 192),
    Stage(1, 3, 1, 6, 192, 320),
)
# how many stages come before the features of stride 4, 8 and 16; the next one begins with stride 2
STAGES_TO_STRIDE_4, STAGES_TO_STRIDE_8, STAGES_TO_STRIDE_16 = 2, 3, 5


class Scaling(NamedTuple):
    """The factors of a member of the family for Lite0's channels and repeats."""

    width: float
    depth: float


SCALINGS: dict[LiteName, Scaling] = {
    "lite0": Scaling(1.0, 1.0),
    "lite1": Scaling(1.0, 1.1),
    "lite2": Scaling(1.1, 1.2),
    "lite3": Scaling(1.2, 1.4),
    "lite4": Scaling(1.4, 1.8),
}


def stages_of(name: LiteName) -> tuple[Stage, ...]:
    """Scale Lite0's stages; the first and the last keep their number of blocks."""
    width, depth = SCALINGS[name]
    ends = LITE0_STAGES[0], LITE0_STAGES[-1]
    scaled = []
    channels_in = STEM_CHANNELS
    for stage in LITE0_STAGES:
        repeats = stage.repeats if stage in ends else math.ceil(stage.repeats * depth)
        channels_out = scaled_channels(stage.channels_out, width)
        scaled.append(
            stage._replace(repeats=repeats, channels_in=channels_in, channels_out=channels_out)
        )
        channels_in = channels_out
    return tuple(scaled)


def scaled_channels(channels: int, width: float) -> int:
    """Round to the nearest multiple, but never by more than a tenth down."""
    exact = channels * width
    half = CHANNEL_MULTIPLE / 2
    rounded = max(CHANNEL_MULTIPLE, int(exact + half) // CHANNEL_MULTIPLE * CHANNEL_MULTIPLE)
    return rounded if rounded >= 0.9 * exact else rounded + CHANNEL_MULTIPLE


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
        return self.narrow(x, self.widen(x))

    def widen(self, x: Tensor) -> Tensor:
        """Expand (N, in, H, W) to (N, hidden, H, W)."""
        wide: Tensor = self.relu0(self.bn0(self.expand(x))) if self.expands else x
        return wide

    def narrow(self, x: Tensor, wide: Tensor) -> Tensor:
        """Filter and project the output of `widen`: (N, out, H/stride, W/stride)."""
        y: Tensor = self.relu1(self.bn1(self.dw(self.pad(wide))))
        y = self.bn2(self.project(y))
        return x + y if self.adds_input else y


class Lite(Backbone):
    """A member of the family without its classifier, built of plain torch layers only.

    Features of strides 8 and 16 are the last blocks' outputs (`project`), or the next block's
    expansion of them before its stride (`expand`): six times the channels, after an activation.
    """

    def __init__(self, name: LiteName = "lite0", skips: Skips = "project") -> None:
        super().__init__()
        stages = stages_of(name)
        self.pad = same_pad(3, 2)
        self.stem = same_conv(3, STEM_CHANNELS, 3, stride=2)
        self.bn0 = batch_norm(STEM_CHANNELS)
        self.relu0 = nn.ReLU6(inplace=True)
        self.blocks = nn.ModuleList(
            InvertedBottleneck(stage, first=index == 0)
            for stage in stages
            for index in range(stage.repeats)
        )
        self.head = same_conv(stages[-1].channels_out, HEAD_CHANNELS, 1)
        self.bn1 = batch_norm(HEAD_CHANNELS)
        self.relu1 = nn.ReLU6(inplace=True)
        self._expands = skips == "expand"
        # of the first blocks that follow the features of strides 8 and 16
        ends = [0, *accumulate(stage.repeats for stage in stages)]
        self._next = ends[STAGES_TO_STRIDE_8], ends[STAGES_TO_STRIDE_16]
        self._after_stride_4 = ends[STAGES_TO_STRIDE_4]
        eight, sixteen = stages[STAGES_TO_STRIDE_8], stages[STAGES_TO_STRIDE_16]
        self.channels = (self._skip_channels(eight), self._skip_channels(sixteen), HEAD_CHANNELS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (N, 3, H, W) to (N, channels, ...) of H/8 x W/8, H/16 x W/16 and H/32 x W/32."""
        x = self.relu0(self.bn0(self.stem(self.pad(x))))  # (N, 32, H/2, W/2)
        skips = []
        for index, block in enumerate(cast("Iterable[InvertedBottleneck]", self.blocks)):
            wide = block.widen(x)
            if index in self._next:
                skips.append(wide if self._expands else x)
            x = block.narrow(x, wide)
        pool3, pool4 = skips
        return pool3, pool4, self.relu1(self.bn1(self.head(x)))

    def early_layers(self) -> Iterable[nn.Module]:
        return [self.stem, self.bn0, *self.blocks[: self._after_stride_4]]

    def _skip_channels(self, following: Stage) -> int:
        return following.channels_in * (following.expansion if self._expands else 1)
