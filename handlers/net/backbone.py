"""The interface of a backbone, which `handlers.net.fcn` builds on."""

from collections.abc import Iterable

from torch import nn


class Backbone(nn.Module):
    """Maps a photo (N, 3, H, W) to its features of stride 8, 16 and 32."""

    # of the three features
    channels: tuple[int, int, int]
    # the sides of a frame are multiples of this; 1: it pads photos by itself, as the paper's does
    frame_stride: int = 32

    def early_layers(self) -> Iterable[nn.Module]:
        """Return the layers up to stride 4, whose maps are the largest."""
        raise NotImplementedError
