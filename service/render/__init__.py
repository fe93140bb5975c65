"""Every output that is made from a label map, each in its own file.

The worker's PNG comes in, the body of a response goes out. All functions are pure and
synchronous; `service.pipeline` calls `render` in a thread.
"""

from service.render.colours import overlay_palette
from service.render.outputs import passes_through, render
from service.render.polygons import PolygonsAnswer
from service.render.regions import filter_labels
from service.render.rle import RleAnswer
from service.render.summary import SummaryAnswer
from service.render.types import Legend, Output, Rendered, RenderOptions

__all__ = [
    "Legend",
    "Output",
    "PolygonsAnswer",
    "RenderOptions",
    "Rendered",
    "RleAnswer",
    "SummaryAnswer",
    "filter_labels",
    "overlay_palette",
    "passes_through",
    "render",
]
