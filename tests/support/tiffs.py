"""TIFF files, tag by tag (TIFF 6.0, section 2): plain or deflated, in strips or in planes."""

import struct
import zlib
from typing import Literal

import numpy as np
from numpy.typing import NDArray

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK = 0, 1, 2, 3, 5
NONE, DEFLATE = 1, 8


def tiff(  # noqa: PLR0913 - what a TIFF may vary in
    samples: NDArray[np.generic],
    photometric: int = RGB,
    *,
    order: Literal["<", ">"] = "<",
    planar: bool = False,
    deflate: bool = False,
    rows: int = 0,
    bits: int = 0,
    big: bool = False,
    tags: dict[int, tuple[int, ...]] | None = None,
) -> bytes:
    """`samples` are (H, W) or (H, W, S), or, with fewer than 8 `bits`, (H, bytes), packed."""
    grid = samples if samples.ndim == 3 else samples[..., None]
    height, width, count = grid.shape
    if 0 < bits < 8:
        width = (tags or {})[256][0]
    planes = [grid[..., i : i + 1] for i in range(count)] if planar else [grid]
    rows = rows or height
    strips = [
        part[at : at + rows].astype(grid.dtype.newbyteorder(order)).tobytes()
        for part in planes
        for at in range(0, height, rows)
    ]
    strips = [zlib.compress(strip) for strip in strips] if deflate else strips
    form = {"u": 1, "i": 2, "f": 3}[grid.dtype.kind]
    offsets = [16 + sum(map(len, strips[:i])) for i in range(len(strips))]
    found: dict[int, tuple[int, ...]] = {
        256: (width,),
        257: (height,),
        258: (bits or grid.dtype.itemsize * 8,) * count,
        259: (DEFLATE if deflate else NONE,),
        262: (photometric,),
        273: tuple(offsets),
        277: (count,),
        278: (rows,),
        279: tuple(map(len, strips)),
        284: (2 if planar else 1,),
        339: (form,) * count,
    } | (tags or {})
    return directory(b"".join(strips), found, order, big=big)


def directory(data: bytes, tags: dict[int, tuple[int, ...]], order: str, *, big: bool) -> bytes:
    """A file whose bytes from 16 on are `data`, with its directory behind them."""
    data += bytes(len(data) % 2)
    start = 16 + len(data)
    count, entry, wide, room = ("Q", "HHQ", "Q", 8) if big else ("H", "HHI", "I", 4)
    values_at = start + struct.calcsize(order + count)
    values_at += len(tags) * (struct.calcsize(order + entry) + room) + room
    entries, values = b"", b""
    for tag in sorted(tags):
        kind = ("I", 4) if max(tags[tag]) > 65_535 or tag in (273, 279) else ("H", 3)
        packed = struct.pack(f"{order}{len(tags[tag])}{kind[0]}", *tags[tag])
        entries += struct.pack(order + entry, tag, kind[1], len(tags[tag]))
        if len(packed) > room:
            entries += struct.pack(order + wide, values_at + len(values))
            values += packed + bytes(len(packed) % 2)
        else:
            entries += packed.ljust(room, b"\0")
    mark = b"II" if order == "<" else b"MM"
    if big:
        head = mark + struct.pack(order + "HHHQ", 43, 8, 0, start)
    else:
        head = (mark + struct.pack(order + "HI", 42, start)).ljust(16, b"\0")
    listed = struct.pack(order + count, len(tags)) + entries + bytes(room)
    return head + data + listed + values
