"""GeoJSON polygons: one feature a connected region, along pixel edges, with holes.

A label map comes in, a FeatureCollection goes out. Called by `service.render.outputs`.

Coordinates are pixels of the photo, x to the right and y down, (0, 0) at the top left corner
of the first pixel, so a polygon's area is exactly its region's pixel count. Regions are
connected through pixel sides (see `service.render.regions`), which keeps every polygon valid.
"""

from typing import Literal

from pydantic import BaseModel, Field

from fcnserve_client.outlines import Point, Ring, trace
from service.render.regions import Regions, find_regions, shown_classes
from service.render.types import LabelMap, Legend


class RegionProperties(BaseModel):
    """The class and size of a region."""

    class_id: int
    class_name: str
    area: int = Field(description="pixels, equal to the polygon's area")


class RegionGeometry(BaseModel):
    """A GeoJSON Polygon: the outer ring, then the holes; first and last points are equal."""

    type: Literal["Polygon"] = "Polygon"
    coordinates: list[list[Point]] = Field(description="rings of [x, y] in pixels, y down")


class RegionFeature(BaseModel):
    """One connected region."""

    type: Literal["Feature"] = "Feature"
    properties: RegionProperties
    geometry: RegionGeometry


class PolygonsAnswer(BaseModel):
    """A GeoJSON FeatureCollection of all regions; background's where `classes` names it."""

    type: Literal["FeatureCollection"] = "FeatureCollection"
    features: list[RegionFeature]


def polygons(labels: LabelMap, classes: frozenset[int] | None, legend: Legend) -> PolygonsAnswer:
    """Make the features, ordered by class id, within a class from the top left."""
    regions = find_regions(labels, shown_classes(labels, classes, legend))
    rings: list[list[Ring]] = [[] for _ in regions.class_ids]
    for ring in trace(regions.ids):
        rings[ring.region].append(ring)
    return PolygonsAnswer(
        features=[_feature(i, rings[i], regions, legend) for i in range(1, len(rings))]
    )


def _feature(region: int, rings: list[Ring], regions: Regions, legend: Legend) -> RegionFeature:
    class_id = int(regions.class_ids[region])
    outer_first = sorted(rings, key=lambda ring: ring.area < 0)
    return RegionFeature(
        properties=RegionProperties(
            class_id=class_id,
            class_name=legend.name(class_id),
            area=int(regions.areas[region]),
        ),
        geometry=RegionGeometry(coordinates=[_closed(ring.corners) for ring in outer_first]),
    )


def _closed(corners: list[Point]) -> list[Point]:
    return [*corners, corners[0]]
