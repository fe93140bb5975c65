"""FCN-32s, FCN-16s and FCN-8s on any backbone: coarse scores, fused with finer ones on the way up.

Backbone features in, scores out. Source: Long, Shelhamer and Darrell, "Fully Convolutional Networks
for Semantic Segmentation" (CVPR 2015), section 4.2; layers are named as in the published models.
The last step, to every pixel, needs no score map in full size while it is bilinear: see
`handlers.runtime.upsample`. Learned, it is a layer of the network.
"""

from torch import Tensor, nn

from handlers.net.backbone import Backbone
from handlers.net.exact.geometry import PHOTO, Placement
from handlers.net.exact.layers import CropLike
from handlers.net.options import BILINEAR, Upsampling
from handlers.net.placement import crop_offset, placements_of
from handlers.net.upsampling import upsampled, upsampler

# by the stride of the finest scores: what is fused, finest last, as (feature, layer that brings the
# scores up to it); and the layer that brings the sum to every pixel
POOL4, POOL3 = ("pool4", "upscore2"), ("pool3", "upscore_pool4")
SKIPS: dict[int, tuple[tuple[str, str], ...]] = {32: (), 16: (POOL4,), 8: (POOL4, POOL3)}
# points in the middle of their cells; lite0's lie off by a part of them, since it pads less before
FRACTIONS = tuple(Placement((stride - 1) / 2, stride) for stride in (8, 16, 32))
LAST_LAYERS = {32: "upscore", 16: "upscore16", 8: "upscore8"}


class FCN(nn.Module):
    """A backbone, a 1x1 score layer on each feature down to `stride`, and upsamplings in between.

    `score_placement` is where the scores lie in the frame, whose first pixel's centre is 0.
    """

    def __init__(
        self, backbone: Backbone, classes: int, stride: int = 8, upsampling: Upsampling = BILINEAR
    ) -> None:
        """Take a backbone. One that pads the photo has the paper's own geometry: upsampling pads
        nothing, each sum is taken where both maps lie on the same pixels, and any photo is its own
        frame. With others all maps are exact fractions of a frame, and nothing is cut off.
        """
        super().__init__()
        self.backbone = backbone
        self.frame_stride = backbone.frame_stride
        padded = backbone.frame_stride == 1
        pool3, pool4, self.score_placement = placements_of(backbone) if padded else FRACTIONS
        # kernels that bring maps to the pixels: AlexNet's points lie on pixels' centres
        odd = self.score_placement.origin.is_integer()
        self.score_fr = nn.Conv2d(backbone.channels[2], classes, 1)
        self._skips = SKIPS[stride]
        features = zip((pool4, pool3), backbone.channels[1::-1], strict=True)
        for (pool, up), (placement, channels) in zip(self._skips, features, strict=False):
            self.add_module(f"score_{pool}", nn.Conv2d(channels, classes, 1))
            margin = 0 if padded else 1
            self.add_module(up, upsampler(classes, 2, margin, upsampling.between, odd=odd))
            self.score_placement = upsampled(self.score_placement, 2, margin, odd=odd)
            self.add_module(f"crop_{pool}", CropLike(crop_offset(self.score_placement, placement)))
        self._last = None if upsampling.last == "bilinear" else LAST_LAYERS[stride]
        if self._last:
            padding = 0 if padded else stride // 2
            last = upsampler(classes, stride, padding, upsampling.last, odd=odd)
            self.add_module(self._last, last)
            pixels = upsampled(self.score_placement, stride, padding, odd=odd)
            self.crop_last = CropLike(crop_offset(PHOTO, pixels))
            self.score_placement = PHOTO

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised frames (N, 3, H, W) to scores (N, classes, h, w) at `score_placement`."""
        pool3, pool4, top = self.backbone(x)
        scores: Tensor = self.score_fr(top)
        for (pool, up), feature in zip(self._skips, (pool4, pool3), strict=False):
            scores = self.get_submodule(up)(scores)
            skip = self.get_submodule(f"score_{pool}")(feature)
            scores = scores + self.get_submodule(f"crop_{pool}")(skip, scores)
        if self._last:
            scores = self.crop_last(self.get_submodule(self._last)(scores), x)
        return scores
