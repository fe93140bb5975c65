"""The photo with its classes painted over it.

A label map and the photo's file come in, a PNG or JPEG goes out. Called by
`service.render.outputs`.
"""

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from handlers.shared.photo import DEFAULT_FORMATS, OPTIONAL_FORMATS, decode, read_header
from handlers.shared.png import write_rgb
from service.render.colours import overlay_palette
from service.render.legend import Entry, draw_legend
from service.render.regions import shown_classes
from service.render.types import LabelMap, Legend, Rendered, RenderOptions

JPEG_QUALITY = 90
# an outline is one pixel wide on small photos; on larger ones, one for so many pixels of the side
# of a square of the photo's area
SIDE_PER_OUTLINE = 400
# an outline's opacity, in that of the colours: where they are half transparent, outlines are opaque
OUTLINE_OPACITY = 2.0

Pixels = NDArray[np.uint8]


def overlay(labels: LabelMap, photo: bytes, options: RenderOptions, legend: Legend) -> Rendered:
    """Paint the photo and encode it; ValueError if photo and label map differ in size."""
    # Admission has checked the photo already, against the gateway's own list of formats.
    header = read_header(photo, DEFAULT_FORMATS | OPTIONAL_FORMATS)
    shown = shown_classes(labels, options.classes, legend)
    palette = overlay_palette(legend.palette, legend.background)
    painted = paint(
        decode(photo, header, options.orientation), labels, palette, shown, options.alpha
    )
    if options.legend:
        painted = draw_legend(painted, entries(labels, shown, palette, legend))
    if options.accept_jpeg:
        return Rendered(simplejpeg.encode_jpeg(painted, quality=JPEG_QUALITY), "image/jpeg")
    return Rendered(write_rgb(painted), "image/png")


def paint(
    pixels: Pixels, labels: LabelMap, palette: bytes, shown: list[int], alpha: float
) -> Pixels:
    """Blend each pixel (H, W, 3) of the shown classes with its class's colour, and outline their
    regions; all others stay as they were.
    """
    if pixels.shape[:2] != labels.shape:
        raise ValueError(f"the photo is {pixels.shape[:2]}, its label map {labels.shape}")
    colours = cv2.LUT(cv2.merge([labels] * 3), _by_label(palette))
    inside = cv2.LUT(labels, _shown_table(shown))
    painted = cv2.copyTo(_blended(pixels, colours, alpha), inside, pixels.copy())
    outlines = cv2.bitwise_and(_edges(labels), inside)
    outlined = _blended(pixels, colours, min(OUTLINE_OPACITY * alpha, 1))
    return cv2.copyTo(outlined, outlines, painted).astype(np.uint8, copy=False)


def entries(labels: LabelMap, shown: list[int], palette: bytes, legend: Legend) -> list[Entry]:
    """Make the legend's entries, the largest class first."""
    pixels = np.bincount(labels.ravel(), minlength=256)
    largest_first = sorted(shown, key=lambda class_id: -pixels[class_id])
    return [
        Entry(
            f"{legend.name(class_id)} {_percent(pixels[class_id] / labels.size)}",
            _by_label(palette)[0, class_id].tolist(),
        )
        for class_id in largest_first
    ]


def _percent(share: float) -> str:
    return "< 1 %" if share < 0.01 else f"{share:.0%}".replace("%", " %")  # noqa: PLR2004


def _blended(pixels: Pixels, colours: cv2.typing.MatLike, alpha: float) -> cv2.typing.MatLike:
    return cv2.addWeighted(colours, alpha, pixels, 1 - alpha, 0)


def _edges(labels: LabelMap) -> cv2.typing.MatLike:
    """Return (H, W), 255 where another label of the photo is near."""
    width = max(1, round(labels.size**0.5 / SIDE_PER_OUTLINE))
    window = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * width + 1, 2 * width + 1))
    return cv2.compare(cv2.dilate(labels, window), cv2.erode(labels, window), cv2.CMP_NE)


def _shown_table(shown: list[int]) -> Pixels:
    table = np.zeros(256, np.uint8)
    table[shown] = 255
    return table


def _by_label(palette: bytes) -> Pixels:
    return np.frombuffer(palette.ljust(768, b"\0")[:768], np.uint8).reshape(1, 256, 3)
