"""FCN-8s: class scores at strides 32, 16 and 8, fused on the way up.

Backbone features in, scores of stride 8 out. Source: Long, Shelhamer and Darrell, "Fully
Convolutional Networks for Semantic Segmentation" (CVPR 2015), section 4.2. The paper's last step,
from stride 8 to every pixel, needs no score map in full size: see `handlers.labels`.
"""

import torch
from torch import Tensor, nn

SCORE_STRIDE = 8
FRAME_STRIDE = 32


class FCN8s(nn.Module):
    """A backbone, a 1x1 score layer on each of its three features, and two upsamplings by 2."""

    def __init__(self, backbone: nn.Module, channels: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        pool3, pool4, top = channels
        self.backbone = backbone
        self.score_pool3 = nn.Conv2d(pool3, classes, 1)
        self.score_pool4 = nn.Conv2d(pool4, classes, 1)
        self.score_fr = nn.Conv2d(top, classes, 1)
        self.upscore2 = bilinear_upsampling(classes, 2)
        self.upscore_pool4 = bilinear_upsampling(classes, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised pixels (N, 3, H, W), sides multiples of 32, to scores (N, classes, H/8,
        W/8).
        """
        pool3, pool4, top = self.backbone(x)
        # (N, classes, H/16, W/16)
        coarse = self.upscore2(self.score_fr(top)) + self.score_pool4(pool4)
        scores: Tensor = self.upscore_pool4(coarse) + self.score_pool3(pool3)
        return scores  # (N, classes, H/8, W/8)


def bilinear_upsampling(channels: int, factor: int) -> nn.ConvTranspose2d:
    """Upsample each channel by `factor`: the fixed bilinear kernel of the paper (section 3.3).

    The kernel has size 2f, stride f and padding f/2; its value at offset t is
    `1 - |t + 0.5 - f| / f` in each direction. Outside the map there is nothing: zeros, not the
    clamped edge of an image resize.
    """
    up = nn.ConvTranspose2d(
        channels, channels, 2 * factor, factor, factor // 2, groups=channels, bias=False
    )
    offsets = torch.arange(2 * factor, dtype=torch.float32)
    ramp = 1 - (offsets + 0.5 - factor).abs() / factor
    up.weight = nn.Parameter(torch.outer(ramp, ramp).repeat(channels, 1, 1, 1), requires_grad=False)
    return up
