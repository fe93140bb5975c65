"""The photos that benchmarks send: the name of a size set and a seed in, JPEGs out.

Photos are scaled crops of a few real photos, so their contents, and with them the time that
decoding and encoding take, are those of photos. The same seed always gives the same bytes.
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
PORTRAIT_SHARE = 0.4
SMALLEST_CROP = 0.5  # of the largest that fits
JPEG_QUALITY = 90


@dataclass(frozen=True, slots=True)
class Photo:
    """A JPEG and its (height, width)."""

    body: bytes
    size: Size


def make_photos(set_name: str, count: int, seed: int, sources: Sequence[Path]) -> list[Photo]:
    """Cut the photos of a size set out of `sources`."""
    rng = random.Random(f"{seed} {set_name} photos")
    originals = [Image.open(path).convert("RGB") for path in sources]
    return [
        Photo(encode_jpeg(crop(rng.choice(originals), size, rng)), size)
        for size in draw_sizes(set_name, count, seed)
    ]


def draw_sizes(set_name: str, count: int, seed: int) -> list[Size]:
    return SIZE_SETS[set_name](count, random.Random(f"{seed} {set_name} sizes"))


def one_size(count: int, _rng: random.Random) -> list[Size]:
    return [ONE_SIZE] * count


def mixed_sizes(count: int, rng: random.Random) -> list[Size]:
    """Draw distinct sizes of camera and web photos; long sides are log-uniform."""
    sizes: dict[Size, None] = {}
    shortest, longest = LONG_SIDES
    while len(sizes) < count:
        long = round(shortest * (longest / shortest) ** rng.random())
        short = round(long / rng.choices(list(ASPECTS), list(ASPECTS.values()))[0])
        sizes[(long, short) if rng.random() < PORTRAIT_SHARE else (short, long)] = None
    return list(sizes)


def one_huge_among_small(count: int, rng: random.Random) -> list[Size]:
    return [
        HUGE
        if index % HUGE_EVERY == HUGE_EVERY // 2
        else (rng.randint(*SMALL_SIDES), rng.randint(*SMALL_SIDES))
        for index in range(count)
    ]


SIZE_SETS: dict[str, Callable[[int, random.Random], list[Size]]] = {
    "one": one_size,
    "mix": mixed_sizes,
    "adversarial": one_huge_among_small,
}


def crop(photo: Image.Image, size: Size, rng: random.Random) -> Image.Image:
    """Cut a random piece with the aspect ratio of `size`, and scale it to `size`."""
    height, width = size
    scale = min(photo.width / width, photo.height / height) * rng.uniform(SMALLEST_CROP, 1)
    cut_width, cut_height = width * scale, height * scale
    left = rng.uniform(0, photo.width - cut_width)
    top = rng.uniform(0, photo.height - cut_height)
    box = (left, top, left + cut_width, top + cut_height)
    return photo.resize((width, height), Image.Resampling.BICUBIC, box)


def encode_jpeg(photo: Image.Image) -> bytes:
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
