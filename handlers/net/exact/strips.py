"""Blanking on a processor: the strips that the next layer reads beyond each photo's map.

Put into a network by `handlers.net.exact.rewrite`; a GPU has `handlers.net.exact.masks` instead.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from handlers.net.exact.extents import StripBounds


class BlankStrips(nn.Module):
    """Blanks in place, since any other layer that reads the map blanks it for itself; but not where
    the map is a view of a larger one, or the caller's.
    """

    def __init__(self, strip: int, value: float, *, inplace: bool) -> None:
        super().__init__()
        self.strip, self.value, self.inplace = strip, value, inplace

    def forward(self, maps: Tensor, bounds: Sequence[Sequence[StripBounds]]) -> Tensor:
        """Blank (N, C, H, W) maps; `bounds` are those of each photo, by strip."""
        maps = maps if self.inplace else maps.clone()
        rows, columns = maps.shape[2:]
        for photo, its_bounds in enumerate(bounds):
            height, bottom, width, right = its_bounds[self.strip]
            if height < min(bottom, rows):
                maps[photo, :, height:bottom, :right] = self.value
            if width < min(right, columns):
                maps[photo, :, :height, width:right] = self.value
        return maps
