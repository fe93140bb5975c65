"""Polygons with holes as one ring, for formats that have no holes.

In: a `Polygon`. Out: its corners. Called by `fcnserve_client.datasets.yolo`.

Each hole is entered from the corner of the outline that is next to it, and left the same way. The
two ways cancel out: the ring has the area of the polygon, and both filling rules leave holes empty,
since holes turn the other way.
"""

from collections import defaultdict

import numpy as np

from fcnserve_client.outlines import Point
from fcnserve_client.polygons import Polygon


def single_ring(polygon: Polygon) -> list[Point]:
    """Return the corners of a polygon in one ring, the first not repeated."""
    outline = polygon.exterior[:-1]
    corners = np.array(outline)
    detours: dict[int, list[Point]] = defaultdict(list)
    for hole in polygon.holes:
        nearest = int(np.abs(corners - np.array(hole[0])).sum(axis=1).argmin())
        detours[nearest] += [*hole, outline[nearest]]
    return [point for i, corner in enumerate(outline) for point in (corner, *detours.get(i, ()))]
