"""The options of a photo's request, named and meant as in the API.

In: keyword arguments. Out: query parameters. Called by `fcnserve_client.http.core`.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from fcnserve_client.photos import Orientation
from fcnserve_client.segmentation import ClassName

Output = Literal["mask", "labels", "overlay", "rle", "polygons", "summary", "confidence"]
Parameters = tuple[tuple[str, str], ...]

MEDIA_TYPES: dict[Output, str] = {
    "mask": "image/png",
    "labels": "image/png",
    "confidence": "image/png",
    "overlay": "image/png",
    "rle": "application/json",
    "summary": "application/json",
    "polygons": "application/geo+json",
}
"""The media type of each output, unless another one is asked for."""


class Options(TypedDict, total=False):
    """What may be asked for with a photo; what is absent or None is the server's default.

    - `model`: the name of the model
    - `classes`: names or ids; all other classes become background
    - `min_area`: regions of fewer pixels become background
    - `max_side`: the longest side, in pixels, at which the network sees the photo; the label map
      has the photo's own size all the same
    - `orientation`: "exif" rotates the photo by its EXIF data, "stored" does not
    - `timeout_ms`: the server's deadline for one attempt
    """

    model: str | None
    classes: str | int | Sequence[ClassName] | None
    min_area: int | None
    max_side: int | None
    orientation: Orientation | None
    timeout_ms: int | None


class SegmentOptions(Options, total=False):
    """`Options`, and `confidence`: whether the result has confidences (default True). Without them
    an answer is smaller, by a third to a half.
    """

    confidence: bool


class RenderOptions(Options, total=False):
    """`Options`, and those of an overlay: `alpha`, the opacity of its colours from 0 to 1, and
    `legend`, whether it names its classes.
    """

    alpha: float | None
    legend: bool | None


def segment_query(options: SegmentOptions) -> Parameters:
    """Return the query of a segmentation. Raises TypeError for an option that there is not."""
    output: Output = "confidence" if options.get("confidence", True) else "mask"
    others = {name: value for name, value in options.items() if name != "confidence"}
    return _query(output, others, Options.__optional_keys__)


def render_query(output: Output, options: RenderOptions) -> Parameters:
    """Return the query of any output. Raises TypeError for an option that there is not."""
    return _query(output, options, RenderOptions.__optional_keys__)


def _query(output: Output, options: Mapping[str, object], known: frozenset[str]) -> Parameters:
    if unknown := options.keys() - known:
        raise TypeError(f"unknown options: {sorted(unknown)}; known: {sorted(known)}")
    found: list[tuple[str, str]] = [("output", output)]
    for name, value in options.items():
        if isinstance(value, bool):
            found.append((name, str(value).lower()))
        elif isinstance(value, Sequence) and not isinstance(value, str):
            found += [(name, str(each)) for each in value]
        elif value is not None:
            found.append((name, str(value)))
    return tuple(found)
