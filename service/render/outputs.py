"""From the worker's PNG to the requested output: the filters first, then one file an output.

The worker's PNG, the photo, options and legend come in; a body and its media type go out. Called by
`service.pipeline` through `service.render`.
"""

from pydantic import BaseModel

from handlers.shared.png import write_grey, write_grey_alpha, write_indexed
from service.render import png
from service.render.overlay import overlay
from service.render.polygons import polygons
from service.render.regions import filter_labels
from service.render.rle import rle
from service.render.summary import summary
from service.render.types import LabelMap, Legend, Output, Rendered, RenderOptions


def passes_through(options: RenderOptions) -> bool:
    """Return whether the worker's bytes are the response's body, unchanged."""
    return options.output in (Output.mask, Output.confidence) and not options.filters


def render(worker_png: bytes, photo: bytes, options: RenderOptions, legend: Legend) -> Rendered:
    """Make the body for `options.output`; `photo` (the request's image) is read for overlays only.

    Raises ValueError when the worker's PNG is not a label map, a ProblemError of
    `handlers.shared.errors` when an overlay's photo cannot be decoded.
    """
    if passes_through(options):
        return Rendered(worker_png, "image/png")
    if options.output is Output.confidence:
        return _confidence(worker_png, options, legend)
    if options.output is Output.labels and not options.filters:
        return Rendered(png.as_grey(worker_png), "image/png")
    labels = filter_labels(png.read_labels(worker_png), options.classes, options.min_area, legend)
    return _draw(labels, photo, options, legend)


def _draw(labels: LabelMap, photo: bytes, options: RenderOptions, legend: Legend) -> Rendered:
    match options.output:
        case Output.overlay:
            return overlay(labels, photo, options, legend)
        case Output.labels:
            return Rendered(write_grey(labels), "image/png")
        case Output.rle:
            return _json(rle(labels, options.classes, legend))
        case Output.polygons:
            return _json(polygons(labels, options.classes, legend), "application/geo+json")
        case Output.summary:
            return _json(summary(labels, options.classes, legend))
        case _:
            return Rendered(write_indexed(labels, legend.mask_palette), "image/png")


def _confidence(worker_png: bytes, options: RenderOptions, legend: Legend) -> Rendered:
    """Filter the labels and keep the model's confidence as it is.

    Where a filter removes a class, the confidence is still that of the removed class, and so the
    least probability that the pixel belongs to none of the remaining classes.
    """
    labels, confidence = png.read_confidence(worker_png)
    kept = filter_labels(labels, options.classes, options.min_area, legend)
    return Rendered(write_grey_alpha(kept, confidence), "image/png")


def _json(answer: BaseModel, media_type: str = "application/json") -> Rendered:
    return Rendered(answer.model_dump_json().encode(), media_type)
