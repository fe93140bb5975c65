"""A mask's file in, a number a pixel out, as it was drawn: grey, palette, colours, 1 to 16 bits.

What can be meant in two ways is refused, with what was seen. What 255 means (void, or the second of
two classes) is for all masks together to say: `model_store.tools.dataset.survey`. Called by
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
# as many values, colours or names are told in a message
SHOWN = 5
# what Pillow raises for files that are none, or broken, or larger than it takes
UNREADABLE = (
    UnidentifiedImageError,
    OSError,
    SyntaxError,
    ValueError,
    Image.DecompressionBombError,
)


class MaskError(Exception):
    """A mask that is no statement of classes; the words go behind the file's name."""


@dataclass(frozen=True, slots=True)
class Written:
    """A mask's numbers; `void_is_said` where a colour says that 255 is void."""

    values: Values
    void_is_said: bool = False


def read(file: Path, palette: Sequence[Rgb], model: str) -> Written:
    """Decode a mask for a model whose classes have these colours; raises MaskError."""
    try:
        with Image.open(file) as image:
            image.load()
    except UNREADABLE as error:
        raise MaskError(f"cannot be read: {error}; save the mask again as PNG") from error
    if image.format == "JPEG":
        raise MaskError("is a JPEG, which changes values; save it as PNG from where it was drawn")
    return written(without_alpha(image), palette, model)


def written(image: Image.Image, palette: Sequence[Rgb], model: str) -> Written:
    if image.mode in {"1", "L"}:
        return Written(np.asarray(image).astype(np.uint8))
    if image.mode == "P":
        return of_palette(image, palette)
    if image.mode.startswith("I"):
        return Written(of_many_bits(np.asarray(image)))
    return of_colours(np.asarray(image.convert("RGB")), palette, model)


def without_alpha(image: Image.Image) -> Image.Image:
    """Drop an alpha channel that says nothing; raises MaskError for one that does."""
    if image.mode not in {"LA", "PA", "RGBA", "La", "RGBa"}:
        return image
    colours = np.asarray(image.convert("RGBA"))
    alpha = colours[..., 3]
    erased = (alpha == 0) & ~colours[..., :3].any(-1)  # black below, as where nothing was drawn
    if not (erased | (alpha == FULL)).all():
        part = float((alpha < FULL).mean())
        raise MaskError(
            f"has transparent pixels ({part:.1%}), which say no class; save it without "
            "transparency, each pixel in its class's number or colour"
        )
    return image.convert("L" if image.mode.upper() == "LA" else "RGB")


def of_many_bits(values: NDArray[Any]) -> Values:
    """Take numbers of 16 bits and more; 0 and 65535 alone are black and white."""
    seen = np.unique(values)
    if seen.max() == FULL_16 and set(seen.tolist()) <= {0, FULL_16}:
        return np.where(values == FULL_16, FULL, 0).astype(np.uint8)
    if seen.min() < 0 or seen.max() > FULL:
        raise MaskError(
            f"holds numbers up to {seen.max()}, which are no classes; save class numbers with "
            f"8 bits a pixel (seen: {shares(values)})"
        )
    return values.astype(np.uint8)


def of_palette(image: Image.Image, palette: Sequence[Rgb]) -> Written:
    """Take a palette PNG's numbers, unless its colours say other classes than they do."""
    values = np.asarray(image)
    seen = np.flatnonzero(np.bincount(values.ravel())).tolist()
    flat = image.getpalette("RGB") or []
    colours = {each: tuple(flat[3 * each : 3 * each + 3]) for each in seen}
    if contradicts(colours, palette):
        told = ", ".join(f"{each} in {colour}" for each, colour in list(colours.items())[:SHOWN])
        raise MaskError(
            f"is a palette mask whose numbers say other classes than its colours ({told}); save it "
            "as grey with class numbers (void: 255), or let number N have the colour of class N"
        )
    return Written(values, colours.get(FULL) == VOID_COLOUR)


def contradicts(colours: dict[int, tuple[int, ...]], palette: Sequence[Rgb]) -> bool:
    """Whether numbers in these colours would be other classes, or void, by colour: a program that
    saves space puts colours in an order of its own.
    """
    wanted: dict[int, tuple[int, ...]] = {**dict(enumerate(palette)), FULL: VOID_COLOUR}
    elsewhere = [colour for each, colour in colours.items() if wanted.get(each) != colour]
    if VOID_COLOUR in elsewhere:
        return True
    if len(colours) > 1 and set(colours.values()) <= set(wanted.values()):
        return bool(elsewhere)
    greys = [colour[0] for colour in colours.values() if len(set(colour)) == 1 and len(colour) == 3]  # noqa: PLR2004
    if len(greys) < len(colours):
        return False
    reversed_order = greys != sorted(greys)
    are_numbers = all(grey < len(palette) for grey in greys)
    return reversed_order or (are_numbers and greys != list(colours))


def of_colours(colours: NDArray[np.uint8], palette: Sequence[Rgb], model: str) -> Written:
    """Look colours up in the model's palette, or take a grey picture's numbers."""
    red, green, blue = (colours[..., channel].astype(np.uint32) for channel in range(3))
    packed = red << 16 | green << 8 | blue
    seen, places = np.unique(packed, return_inverse=True)
    found = [(each >> 16, each >> 8 & FULL, each & FULL) for each in seen.tolist()]
    numbers = {VOID_COLOUR: FULL} | {colour: place for place, colour in enumerate(palette)}
    if all(colour in numbers for colour in found):
        table = np.array([numbers[colour] for colour in found], np.uint8)
        return Written(table[places.reshape(packed.shape)], void_is_said=True)
    usable = {*range(len(palette)), FULL}
    if all(len(set(colour)) == 1 and colour[0] in usable for colour in found):
        return Written(np.ascontiguousarray(colours[..., 0]))
    unknown = next(colour for colour in found if colour not in numbers)
    names = dict(zip(seen.tolist(), map(str, found), strict=True))
    raise MaskError(
        f"is an RGB mask with the colour {unknown}, which is not in the palette of {model}; save "
        "class numbers as a palette or grey PNG without smoothed edges, or let `palette:` in "
        f"model.yaml have the mask's colours (seen: {shares(packed, names)})"
    )


def shares(values: NDArray[Any], names: dict[int, str] | None = None) -> str:
    """Write the most frequent values with their part of the pixels, and how many there are."""
    seen, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:SHOWN]
    told = [
        f"{(names or {}).get(int(seen[each]), str(seen[each]))} {counts[each] / values.size:.1%}"
        for each in order
    ]
    more = f", ... of {len(seen)}" if len(seen) > SHOWN else ""
    return ", ".join(told) + more
