"""Polygons of a label map: one a connected region, along pixel edges, with holes.

In: labels and the model. Out: `Polygon`, which shapely and GeoJSON readers take. Called by
`fcnserve_client.segmentation`.

Coordinates are pixels of the photo, x to the right and y down, (0, 0) at the top left corner of the
first pixel, so that a polygon's area is its region's number of pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fcnserve_client.label_maps import Labels
from fcnserve_client.model import Model
from fcnserve_client.outlines import Point, Ring, trace
from fcnserve_client.regions import Regions, find_regions

if TYPE_CHECKING:
    import shapely


@dataclass(frozen=True, slots=True)
class Polygon:
    """One connected region.

    `area` is in pixels; `exterior` and each of `holes` are corners (x, y), the first repeated at
    the end. The exterior turns clockwise on the screen, holes the other way.
    """

    class_id: int
    class_name: str
    area: int
    exterior: tuple[Point, ...]
    holes: tuple[tuple[Point, ...], ...] = ()

    @property
    def __geo_interface__(self) -> dict[str, Any]:
        """The polygon as a GeoJSON geometry: `shapely.geometry.shape(polygon)` reads it."""
        rings = [[list(point) for point in ring] for ring in (self.exterior, *self.holes)]
        return {"type": "Polygon", "coordinates": rings}

    def to_geojson(self) -> dict[str, Any]:
        """Return a GeoJSON Feature, as `output=polygons` of the API has it."""
        properties = {
            "class_id": self.class_id,
            "class_name": self.class_name,
            "area": self.area,
        }
        return {"type": "Feature", "properties": properties, "geometry": self.__geo_interface__}

    def to_shapely(self) -> "shapely.Polygon":
        """Return a `shapely.Polygon`. Raises ImportError where that is not installed."""
        try:
            import shapely
        except ImportError as error:
            raise ImportError("to_shapely needs shapely: pip install shapely") from error
        return shapely.Polygon(self.exterior, self.holes)


def find_polygons(labels: Labels, shown: Sequence[int], model: Model) -> list[Polygon]:
    """Return the polygons of the shown classes, by class id, within a class from the top left."""
    regions = find_regions(labels, shown)
    rings: list[list[Ring]] = [[] for _ in regions.class_ids]
    for ring in trace(regions.ids):
        rings[ring.region].append(ring)
    return [_polygon(number, rings[number], regions, model) for number in range(1, len(rings))]


def _polygon(region: int, rings: list[Ring], regions: Regions, model: Model) -> Polygon:
    class_id = int(regions.class_ids[region])
    exterior, *holes = (
        (*ring.corners, ring.corners[0]) for ring in sorted(rings, key=lambda each: each.area < 0)
    )
    area = int(regions.areas[region])
    return Polygon(class_id, model.class_name(class_id), area, exterior, tuple(holes))
