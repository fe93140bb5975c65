"""BMP files, field by field; and run-length codes read the slow way, pixel by pixel."""

import random
import struct

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

RLE8, RLE4, BITFIELDS = 1, 2, 3
END_OF_LINE, END = b"\0\0", b"\0\1"


def bmp(
    size: tuple[int, int],
    bits: int,
    data: bytes,
    *,
    coding: int = 0,
    header_bytes: int = 40,
    masks: tuple[int, ...] = (),
    palette: bytes = b"",
) -> bytes:
    """`palette` has four bytes a colour; `masks` are red, green, blue and, in V3 to V5, alpha."""
    height, width = size
    info = struct.pack("<IiiHHI", header_bytes, width, height, 1, bits, coding)
    info += struct.pack("<IiiII", len(data), 0, 0, len(palette) // 4, 0)
    info = (info + struct.pack(f"<{len(masks)}I", *masks)).ljust(header_bytes, b"\0") + palette
    start = 14 + len(info)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + info + data


def grey_palette(colours: int) -> bytes:
    """No two alike, and no plain ramp: the index shows."""
    return b"".join(bytes((i, 255 - i, i * 7 % 256, 0)) for i in range(colours))


def looked_up(indices: Pixels, palette: bytes) -> Pixels:
    """(H, W) to (H, W, 3), and the file's first row last, as BMPs have it."""
    colours = np.frombuffer(palette, np.uint8).reshape(-1, 4)[:, 2::-1]
    return colours[indices[::-1]]


def random_codes(chance: random.Random, height: int, width: int, *, nibbles: bool) -> bytes:
    """Runs, absolute pixels, jumps and empty rows; some runs are longer than their row."""
    codes = b""
    for _ in range(height):
        x = 0
        while x < width and chance.random() > 0.05:
            kind = chance.random()
            if kind < 0.5:
                count = chance.randint(1, 255)
                codes += bytes((count, chance.randrange(256)))
            elif kind < 0.9:
                count = chance.randint(3, 255)
                data = chance.randbytes((count + 1) // 2 if nibbles else count)
                codes += bytes((0, count)) + data + b"\0" * (len(data) % 2)
            else:
                count = chance.randint(0, 60)
                codes += bytes((0, 2, count, chance.choice((0, 0, 0, 1))))
            x += count
        codes += END_OF_LINE
    return codes + END


def read_codes(  # noqa: C901 - the specification, case by case
    codes: bytes, height: int, width: int, *, nibbles: bool
) -> Pixels:
    """(H, W) indices, the file's first row first."""
    plane = np.zeros((height, width), np.uint8)
    at = x = y = 0

    def put(index: int) -> None:
        nonlocal x
        if x < width and y < height:
            plane[y, x] = index
        x = min(x + 1, width)

    while at + 1 < len(codes):
        count, value = codes[at], codes[at + 1]
        at += 2
        if count:
            for i in range(count):
                put((value >> (0 if i % 2 else 4)) & 15 if nibbles else value)
        elif value == 0:
            x, y = 0, y + 1
        elif value == 1:
            break
        elif value == 2:
            x, y = min(x + codes[at], width), y + codes[at + 1]
            at += 2
        else:
            for i in range(value):
                byte = codes[at + (i // 2 if nibbles else i)]
                put((byte >> (0 if i % 2 else 4)) & 15 if nibbles else byte)
            used = (value + 1) // 2 if nibbles else value
            at += used + used % 2
    return plane
