"""The photos that benchmarks send: a set's name and a seed in, real JPEGs out, always the same.

Crops of a few real photos, scaled: their contents, and so the time that decoding and encoding
take, are those of photos.
"""

import io
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

Size = tuple[int, int]  # (height, width)

ONE_SIZE = (375, 500)
HUGE = (2000, 3000)
HUGE_EVERY = 8  # one huge photo among so many
SMALL_SIDES = (96, 256)
LONG_SIDES = (120, 768)
# width : height of cameras and phones, and how often each
ASPECTS = {4 / 3: 0.35, 3 / 2: 0.35, 16 / 9: 0.2, 1.0: 0.1}
PORTRAITS = 0.4
SMALLEST_CROP = 0.5  # of the largest that fits
JPEG_QUALITY = 90


@dataclass(frozen=True, slots=True)
class Photo:
    """A JPEG and its (height, width)."""

    body: bytes
    size: Size


def photos_of(set_name: str, count: int, seed: int, sources: Sequence[Path]) -> list[Photo]:
    """Make a set's photos from crops of `sources`."""
    dice = random.Random(f"{seed} {set_name} photos")
    originals = [Image.open(path).convert("RGB") for path in sources]
    return [
        Photo(jpeg(crop(dice.choice(originals), size, dice)), size)
        for size in sizes_of(set_name, count, seed)
    ]


def sizes_of(set_name: str, count: int, seed: int) -> list[Size]:
    return SETS[set_name](count, random.Random(f"{seed} {set_name} sizes"))


def one_size(count: int, _dice: random.Random) -> list[Size]:
    return [ONE_SIZE] * count


def photo_mix(count: int, dice: random.Random) -> list[Size]:
    """Draw sizes as people send them, no two alike; small and large ones by the same factor are
    equally frequent.
    """
    sizes: dict[Size, None] = {}
    shortest, longest = LONG_SIDES
    while len(sizes) < count:
        long = round(shortest * (longest / shortest) ** dice.random())
        short = round(long / dice.choices(list(ASPECTS), list(ASPECTS.values()))[0])
        sizes[(long, short) if dice.random() < PORTRAITS else (short, long)] = None
    return list(sizes)


def one_huge_among_small(count: int, dice: random.Random) -> list[Size]:
    return [
        HUGE
        if place % HUGE_EVERY == HUGE_EVERY // 2
        else (dice.randint(*SMALL_SIDES), dice.randint(*SMALL_SIDES))
        for place in range(count)
    ]


SETS: dict[str, Callable[[int, random.Random], list[Size]]] = {
    "one": one_size,
    "mix": photo_mix,
    "adversarial": one_huge_among_small,
}


def crop(photo: Image.Image, size: Size, dice: random.Random) -> Image.Image:
    """Cut a piece of the wanted shape, anywhere, and scale it to the wanted size."""
    height, width = size
    scale = min(photo.width / width, photo.height / height) * dice.uniform(SMALLEST_CROP, 1)
    cut_width, cut_height = width * scale, height * scale
    left = dice.uniform(0, photo.width - cut_width)
    top = dice.uniform(0, photo.height - cut_height)
    box = (left, top, left + cut_width, top + cut_height)
    return photo.resize((width, height), Image.Resampling.BICUBIC, box)


def jpeg(photo: Image.Image) -> bytes:
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
