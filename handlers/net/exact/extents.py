"""The size of a single photo's map at each point of a network, and what the next layer reads of it.

The photo's size in, rows and columns out; computed once for each size. Called by
`handlers.net.exact.rewrite` and `handlers.net.exact.network`.
"""

from dataclasses import dataclass
from typing import NamedTuple

from handlers.net.exact.geometry import Geometry

Size = tuple[int, int]  # (height, width)


class UnfitSizeError(ValueError):
    """A network cannot compute the scores of a photo of this size, not even of a single one."""


class StripBounds(NamedTuple):
    """The strips beyond a photo's map that a layer reads: rows from `height` to `bottom`, columns
    from `width` to `right`.
    """

    height: int
    bottom: int
    width: int
    right: int


@dataclass(frozen=True, slots=True)
class Extents:
    """The size that a map has for a single photo, by the layers between the input and the map."""

    layers: tuple[Geometry, ...] = ()

    def after(self, geometry: Geometry) -> "Extents":
        return Extents((*self.layers, geometry))

    def of(self, size: Size) -> Size:
        """Return (height, width); raises UnfitSizeError for a photo of which a layer leaves
        nothing.
        """
        height, width = size
        for layer in self.layers:
            height, width = layer.height.out(height), layer.width.out(width)
            if min(height, width) < 1:
                raise UnfitSizeError(
                    f"a photo of {size[0]}x{size[1]} is too small for this network: "
                    f"some layer's map would be {height}x{width}"
                )
        return height, width

    def strip_bounds(self, size: Size, reader: Geometry) -> StripBounds:
        """Return what `reader` reads beyond this map when a photo of `size` lies on a canvas."""
        height, width = self.of(size)
        return StripBounds(height, reader.height.reach(height), width, reader.width.reach(width))


class MapJoin(NamedTuple):
    """Two maps that `name` joins point by point, or of which it cuts one to the other's size."""

    name: str
    map: Extents
    like: Extents
    crop_offset: int | None = None

    def check(self, size: Size) -> None:
        """Raises UnfitSizeError where a single photo's maps do not fit each other."""
        ours, theirs = self.map.of(size), self.like.of(size)
        spare = [
            mine - its - (self.crop_offset or 0) for mine, its in zip(ours, theirs, strict=True)
        ]
        if min(spare) < 0 or (self.crop_offset is None and max(spare) > 0):
            raise UnfitSizeError(
                f"{self.name} takes maps of {ours[0]}x{ours[1]} and {theirs[0]}x{theirs[1]} for a "
                f"photo of {size[0]}x{size[1]}: they must be alike, or the first one cut from a "
                "larger one (CropLike)"
            )
