"""FCN-8s on any backbone: scores at strides 32, 16 and 8, fused on the way up.

Backbone features in, scores of stride 8 out. Source: Long, Shelhamer and Darrell, "Fully
Convolutional Networks for Semantic Segmentation" (CVPR 2015), section 4.2. The paper's last step,
from stride 8 to every pixel, needs no score map in full size: see `handlers.labels`.
"""

import torch
from torch import Tensor, nn

from handlers.net.geometry import Place, Transposed
from handlers.net.layers import CropLike
from handlers.net.placement import crop_offset, places_of

SCORE_STRIDE = 8
FRAME_STRIDE = 32


class FCN8s(nn.Module):
    """A backbone, a 1x1 score layer on each of its three features, and two upsamplings by 2.

    `frame_stride` is what the sides of a frame are multiples of; `score_origin` is where the first
    score's centre lies in it, in pixels, that of the first pixel being 0.
    """

    def __init__(self, backbone: nn.Module, channels: tuple[int, int, int], classes: int) -> None:
        """Take a backbone whose maps are exact fractions of a frame: nothing is cut off."""
        super().__init__()
        pool3, pool4, top = channels
        self.backbone = backbone
        self.score_pool3 = nn.Conv2d(pool3, classes, 1)
        self.score_pool4 = nn.Conv2d(pool4, classes, 1)
        self.score_fr = nn.Conv2d(top, classes, 1)
        self.upscore2 = bilinear_upsampling(classes, 2, padding=1)
        self.upscore_pool4 = bilinear_upsampling(classes, 2, padding=1)
        self.crop_pool4 = self.crop_pool3 = CropLike(0)
        self.frame_stride = FRAME_STRIDE
        self.score_origin = (SCORE_STRIDE - 1) / 2

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised frames (N, 3, H, W) to scores (N, classes, h, w) of stride 8."""
        pool3, pool4, top = self.backbone(x)
        coarse = self.upscore2(self.score_fr(top))  # stride 16
        coarse = coarse + self.crop_pool4(self.score_pool4(pool4), coarse)
        coarse = self.upscore_pool4(coarse)  # stride 8
        scores: Tensor = coarse + self.crop_pool3(self.score_pool3(pool3), coarse)
        return scores


class PaddedFCN8s(FCN8s):
    """The paper's own geometry, for a backbone that pads the photo by itself.

    Nothing is padded on the way up, and each sum is taken where both maps lie on the same pixels.
    Any photo is its own frame.
    """

    def __init__(self, backbone: nn.Module, channels: tuple[int, int, int], classes: int) -> None:
        super().__init__(backbone, channels, classes)
        self.upscore2 = bilinear_upsampling(classes, 2, padding=0)
        self.upscore_pool4 = bilinear_upsampling(classes, 2, padding=0)
        pool3, pool4, top = places_of(backbone)
        up16 = upsampled(top)
        up8 = upsampled(up16)
        self.crop_pool4 = CropLike(crop_offset(up16, pool4))
        self.crop_pool3 = CropLike(crop_offset(up8, pool3))
        self.frame_stride = 1
        self.score_origin = up8.origin


def upsampled(place: Place) -> Place:
    """Say where a map lies after `bilinear_upsampling` by 2 without padding."""
    return Transposed(kernel=4, stride=2, padding=0).place(place)


def bilinear_upsampling(channels: int, factor: int, padding: int) -> nn.ConvTranspose2d:
    """Upsample each channel by `factor`: the fixed bilinear kernel of the paper (section 3.3).

    The kernel has size 2f and stride f; its value at offset t is `1 - |t + 0.5 - f| / f` in each
    direction. Outside the map there is nothing: zeros, not the clamped edge of an image resize.
    """
    up = nn.ConvTranspose2d(
        channels, channels, 2 * factor, factor, padding, groups=channels, bias=False
    )
    offsets = torch.arange(2 * factor, dtype=torch.float32)
    ramp = 1 - (offsets + 0.5 - factor).abs() / factor
    up.weight = nn.Parameter(torch.outer(ramp, ramp).repeat(channels, 1, 1, 1), requires_grad=False)
    return up
