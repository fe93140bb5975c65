"""A mask's file in, a number a pixel out, as it was drawn: grey, palette, colours, 1 to 16 bits.

An ambiguous mask is rejected, with what was seen. The meaning of 255 (void, or the second of two
classes) follows from all masks together: `model_store.tools.dataset.survey`. Called by
`model_store.tools.dataset.labelled`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

Values = NDArray[np.uint8]  # (H, W)
Rgb = tuple[int, int, int]

VALUES = 256
FULL, FULL_16 = 255, 65535
# the colour of void in PASCAL VOC's masks
VOID_COLOUR: Rgb = (224, 224, 192)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
# values or colours that a message shows
SHOWN = 5
# what Pillow raises for files that are no image, or broken, or larger than its limit
UNREADABLE = (
    UnidentifiedImageError,
    OSError,
    SyntaxError,
    ValueError,
    Image.DecompressionBombError,
)


class MaskError(Exception):
    """A mask without clear class numbers; the message follows the file's name."""


@dataclass(frozen=True, slots=True)
class MaskValues:
    """A mask's numbers; `void_by_colour` where a colour shows that 255 is void."""

    values: Values
    void_by_colour: bool = False


def read(file: Path, palette: Sequence[Rgb], model: str) -> MaskValues:
    """Decode a mask for a model whose classes have these colours; raises MaskError."""
    try:
        with Image.open(file) as image:
            image.load()
    except UNREADABLE as error:
        raise MaskError(f"cannot be read: {error}; save the mask again as PNG") from error
    if image.format == "JPEG":
        raise MaskError("is a JPEG, which changes values; save it as PNG from where it was drawn")
    return from_image(without_alpha(image), palette, model)


def from_image(image: Image.Image, palette: Sequence[Rgb], model: str) -> MaskValues:
    if image.mode in {"1", "L"}:
        return MaskValues(np.asarray(image).astype(np.uint8))
    if image.mode == "P":
        return from_palette(image, palette)
    if image.mode.startswith("I"):
        return MaskValues(from_wide_integers(np.asarray(image)))
    return from_colours(np.asarray(image.convert("RGB")), palette, model)


def without_alpha(image: Image.Image) -> Image.Image:
    """Drop an opaque alpha channel; raises MaskError for transparent pixels."""
    if image.mode not in {"LA", "PA", "RGBA", "La", "RGBa"}:
        return image
    colours = np.asarray(image.convert("RGBA"))
    alpha = colours[..., 3]
    erased = (alpha == 0) & ~colours[..., :3].any(-1)  # black below, as where nothing was drawn
    if not (erased | (alpha == FULL)).all():
        part = float((alpha < FULL).mean())
        raise MaskError(
            f"has transparent pixels ({part:.1%}), which have no class; save it without "
            "transparency, each pixel in its class's number or colour"
        )
    return image.convert("L" if image.mode.upper() == "LA" else "RGB")


def from_wide_integers(values: NDArray[Any]) -> Values:
    """Read numbers of 16 bits and more; 0 and 65535 alone are black and white."""
    seen = np.unique(values)
    if seen.max() == FULL_16 and set(seen.tolist()) <= {0, FULL_16}:
        return np.where(values == FULL_16, FULL, 0).astype(np.uint8)
    if seen.min() < 0 or seen.max() > FULL:
        raise MaskError(
            f"holds numbers up to {seen.max()}, which are no classes; save class numbers with "
            f"8 bits a pixel (seen: {shares(values)})"
        )
    return values.astype(np.uint8)


def from_palette(image: Image.Image, palette: Sequence[Rgb]) -> MaskValues:
    """Read a palette PNG's numbers; raises MaskError where its colours mean other classes."""
    values = np.asarray(image)
    seen = np.flatnonzero(np.bincount(values.ravel())).tolist()
    flat = image.getpalette("RGB") or []
    colours = {each: tuple(flat[3 * each : 3 * each + 3]) for each in seen}
    if contradicts(colours, palette):
        shown = ", ".join(f"{each} in {colour}" for each, colour in list(colours.items())[:SHOWN])
        raise MaskError(
            f"is a palette mask whose numbers mean other classes than its colours ({shown}); save "
            "it as grey with class numbers (void: 255), or let number N have the colour of class N"
        )
    return MaskValues(values, colours.get(FULL) == VOID_COLOUR)


def contradicts(colours: dict[int, tuple[int, ...]], palette: Sequence[Rgb]) -> bool:
    """Return whether these numbers would be other classes, or void, by their colours.

    Programs that optimise a palette reorder its colours.
    """
    expected: dict[int, tuple[int, ...]] = {**dict(enumerate(palette)), FULL: VOID_COLOUR}
    elsewhere = [colour for each, colour in colours.items() if expected.get(each) != colour]
    if VOID_COLOUR in elsewhere:
        return True
    if len(colours) > 1 and set(colours.values()) <= set(expected.values()):
        return bool(elsewhere)
    greys = [colour[0] for colour in colours.values() if len(set(colour)) == 1 and len(colour) == 3]  # noqa: PLR2004
    if len(greys) < len(colours):
        return False
    reversed_order = greys != sorted(greys)
    are_numbers = all(grey < len(palette) for grey in greys)
    return reversed_order or (are_numbers and greys != list(colours))


def from_colours(colours: NDArray[np.uint8], palette: Sequence[Rgb], model: str) -> MaskValues:
    """Look colours up in the model's palette, or read the numbers of a grey image."""
    red, green, blue = (colours[..., channel].astype(np.uint32) for channel in range(3))
    packed = red << 16 | green << 8 | blue
    seen, inverse = np.unique(packed, return_inverse=True)
    found = [(each >> 16, each >> 8 & FULL, each & FULL) for each in seen.tolist()]
    numbers = {VOID_COLOUR: FULL} | {colour: number for number, colour in enumerate(palette)}
    if all(colour in numbers for colour in found):
        table = np.array([numbers[colour] for colour in found], np.uint8)
        return MaskValues(table[inverse.reshape(packed.shape)], void_by_colour=True)
    usable = {*range(len(palette)), FULL}
    if all(len(set(colour)) == 1 and colour[0] in usable for colour in found):
        return MaskValues(np.ascontiguousarray(colours[..., 0]))
    unknown = next(colour for colour in found if colour not in numbers)
    names = dict(zip(seen.tolist(), map(str, found), strict=True))
    raise MaskError(
        f"is an RGB mask with the colour {unknown}, which is not in the palette of {model}; save "
        "class numbers as a palette or grey PNG without smoothed edges, or let `palette:` in "
        f"model.yaml have the mask's colours (seen: {shares(packed, names)})"
    )


def shares(values: NDArray[Any], names: dict[int, str] | None = None) -> str:
    """List the most frequent values with their part of the pixels, and count all values."""
    seen, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:SHOWN]
    parts = [
        f"{(names or {}).get(int(seen[each]), str(seen[each]))} {counts[each] / values.size:.1%}"
        for each in order
    ]
    more = f", ... of {len(seen)}" if len(seen) > SHOWN else ""
    return ", ".join(parts) + more
