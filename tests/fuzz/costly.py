"""Photos of the highest decoding cost, up to the largest size: a number in, a photo out.

Each kind is small to send and costly to decode; some get a random change, as mutants do. Called by
`tests.fuzz.decode_all`; `encoded` also by `tests.faults.hostile_images`.
"""

import io
import random
import struct
import zlib
from collections.abc import Callable
from functools import cache

from PIL import Image

from tests.fuzz.mutate import CHANGES
from tests.support.bitmaps import RLE4, RLE8, bmp, grey_palette
from tests.support.photos import PNG_SIGNATURE, before_scan, chunk, ihdr

MAX_PIXELS = 32_000_000
SIZES = ((4000, 8000), (1, 65_500), (65_500, 1), (480, 65_500), (65_500, 480), (300, 400))
# most changes make the header invalid, which ends decoding at once
CHANGED_SHARE = 0.5

Kind = Callable[[random.Random, tuple[int, int]], bytes]


def costly(seed: int, number: int) -> bytes:
    """Make the photo of a number."""
    rng = random.Random(f"costly/{seed}/{number}")
    body = rng.choice(KINDS)(rng, rng.choice(SIZES))
    if rng.random() < CHANGED_SHARE:
        body = rng.choice(CHANGES)(rng, body)
    return body


@cache
def encoded(kind: str, size: tuple[int, int], **options: object) -> bytes:
    """Return a plain grey image in a format of Pillow's."""
    height, width = size
    image = Image.new("L" if kind in ("GIF", "TIFF", "JPEG") else "RGB", (width, height), 99)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def many_scans(rng: random.Random, size: tuple[int, int]) -> bytes:
    body = encoded("JPEG", size, progressive=True)
    last = body[body.rindex(b"\xff\xda") : -2]
    return body[:-2] + last * rng.choice((0, 10, 30, 44, 1000)) + b"\xff\xd9"


def many_segments(rng: random.Random, size: tuple[int, int]) -> bytes:
    data = rng.choice((b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"")) + bytes(4000)
    segment = rng.choice((b"\xff\xe1", b"\xff\xfe")) + struct.pack(">H", len(data) + 2) + data
    return before_scan(encoded("JPEG", size), segment * rng.choice((10, 1000, 4000)))


def many_restarts(rng: random.Random, size: tuple[int, int]) -> bytes:
    body = encoded("JPEG", size, restart_marker_blocks=rng.choice((1, 7)))
    at = body.rindex(b"\xff\xd3") if b"\xff\xd3" in body else len(body)
    return body[:at] + body[at + rng.choice((0, 2)) :] + bytes(rng.choice((0, 40)))


def runs(rng: random.Random, size: tuple[int, int]) -> bytes:
    coding, bits = rng.choice(((RLE8, 8), (RLE4, 4)))
    piece = rng.choice((b"\xff\1", b"\1\1", b"\0\3\1\2\3\0", b"\0\0", b"\0\2\1\0", b"\0\2\0\1"))
    codes = piece * rng.choice((1, 8, 100_000, 1_000_000)) + b"\0\1"
    return bmp(size, bits, codes, coding=coding, palette=grey_palette(1 << bits))


def deep_chunks(rng: random.Random, size: tuple[int, int]) -> bytes:
    text = zlib.compress(bytes(20_000_000), 9)
    extra = rng.choice(
        (
            chunk(b"zTXt", b"XML:com.adobe.xmp\0\0" + text),
            chunk(b"iCCP", b"icc\0\0" + text),
            chunk(b"tEXt", b"a\0b"),
        )
    )
    return packed_rows(rng, size, extra * rng.choice((1, 100)))


def packed_rows(rng: random.Random, size: tuple[int, int], extra: bytes = b"") -> bytes:
    """A PNG with too few, enough or too many rows of zeros; interlaced or not; of 1 to 64 bits."""
    bits, colour, samples = rng.choice(((1, 0, 1), (8, 2, 3), (16, 6, 4), (16, 2, 3)))
    height, width = size
    data_bytes = height * (1 + -(-width * bits * samples // 8))
    data = zlib.compress(bytes(int(data_bytes * rng.choice((0.5, 1, 1.3)))), 9)
    key = chunk(b"tRNS", bytes(6)) if colour == 2 else b""
    step = rng.choice((len(data), 8192, 100))
    idat = b"".join(chunk(b"IDAT", data[at : at + step]) for at in range(0, len(data), step))
    head = ihdr(height, width, bits, colour, rng.choice((0, 1)))
    return PNG_SIGNATURE + head + extra + key + idat + chunk(b"IEND", b"")


def webp(rng: random.Random, size: tuple[int, int]) -> bytes:
    height, width = (min(side, 16_383) for side in size)
    body = encoded("WEBP", (height, width), lossless=rng.choice((False, True)), method=0)
    canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    small = encoded("WEBP", (9, 9), lossless=True)[12:]
    wide = b"VP8X" + struct.pack("<II", 10, 0) + canvas + small
    return rng.choice((body, b"RIFF" + struct.pack("<I", len(wide) + 4) + b"WEBP" + wide))


def gif(rng: random.Random, size: tuple[int, int]) -> bytes:
    body = encoded("GIF", size)
    at = 13 + (3 << (body[10] & 7) + 1 if body[10] & 0x80 else 0)
    blocks = b"!\xfe" + b"\1a" * rng.choice((1, 50_000, 5_000_000)) + b"\0"
    return body[:at] + blocks + body[at:]


def tiff(rng: random.Random, size: tuple[int, int]) -> bytes:
    coding = rng.choice(("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "jpeg"))
    return encoded("TIFF", size, compression=coding, strip_size=rng.choice((size[1], 65_536)))


def avif(rng: random.Random, size: tuple[int, int]) -> bytes:
    return encoded("AVIF", (min(size[0], 3000), min(size[1], 3000)), speed=10)


KINDS: tuple[Kind, ...] = (
    *(many_scans, many_segments, many_restarts, runs, deep_chunks, packed_rows),
    *(webp, gif, tiff, avif),
)
