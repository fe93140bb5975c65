"""The first directory of a TIFF: reads its integers within limits, and writes them again.

Layout: TIFF 6.0, section 2; BigTIFF has wider counts and offsets. Library weighed: Pillow reads all
values of every tag into memory, without a limit. Called by `handlers.shared.photo.tiff.reader`.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from handlers.shared.errors import BrokenImageError

MAX_ENTRIES = 1024
"""Of a directory; GeoTIFFs and microscopes have below a hundred."""
MAX_VALUES = 4 * 65_536
"""Of a tag: as many strips as the longest side has rows, in four planes."""

SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
FILL_ORDER, STRIP_OFFSETS, ORIENTATION, SAMPLES, STRIP_ROWS, STRIP_BYTES = (
    266,
    273,
    274,
    277,
    278,
    279,
)
PLANAR, PREDICTOR, TILE_WIDTH, TILE_HEIGHT = 284, 317, 322, 323
TILE_OFFSETS, TILE_BYTES, SUB_DIRECTORIES = 324, 325, 330
EXTRA_SAMPLES, SAMPLE_FORMAT, DNG_VERSION = 338, 339, 50706

_TAGS = frozenset(
    {
        *(SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, STRIP_OFFSETS),
        *(
            ORIENTATION,
            SAMPLES,
            STRIP_ROWS,
            STRIP_BYTES,
            PLANAR,
            PREDICTOR,
            TILE_WIDTH,
            TILE_HEIGHT,
        ),
        *(TILE_OFFSETS, TILE_BYTES, SUB_DIRECTORIES, EXTRA_SAMPLES, SAMPLE_FORMAT, DNG_VERSION),
    }
)
_TYPES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}  # of integers
_LONG = 4


@dataclass(frozen=True, slots=True)
class _Layout:
    """The widths of a directory's parts."""

    first: str  # the directory's position
    first_at: int
    count: str  # of entries
    entry: str  # tag, type, count of values
    entry_bytes: int
    inline_bytes: int


_CLASSIC = _Layout("I", 4, "H", "HHI", 12, 4)
_BIG = _Layout("Q", 8, "Q", "HHQ", 20, 8)

Tags = Mapping[int, tuple[int, ...]]


def byte_order(body: bytes | bytearray) -> str:
    return "<" if body[:2] == b"II" else ">"


def read_tags(body: bytes | bytearray) -> Tags:
    """Return the tags that define how pixels are coded; raises BrokenImageError."""
    order = byte_order(body)
    layout = _BIG if 43 in body[2:4] else _CLASSIC  # noqa: PLR2004 - BigTIFF's version
    try:
        (start,) = struct.unpack_from(order + layout.first, body, layout.first_at)
        (entries,) = struct.unpack_from(order + layout.count, body, start)
        if entries > MAX_ENTRIES:
            raise _broken(f"its directory has {entries} entries; the limit is {MAX_ENTRIES}")
        at = start + struct.calcsize(order + layout.count)
        tags: dict[int, tuple[int, ...]] = {}
        for _ in range(entries):
            tag, kind, count = struct.unpack_from(order + layout.entry, body, at)
            if tag in _TAGS and kind in _TYPES and tag not in tags:
                tags[tag] = _values(body, at, order + _TYPES[kind], count, layout)
            at += layout.entry_bytes
    except (struct.error, OverflowError) as error:
        raise _broken("its directory is cut short") from error
    return tags


def _values(
    body: bytes | bytearray, at: int, form: str, count: int, layout: _Layout
) -> tuple[int, ...]:
    if count > MAX_VALUES:
        raise _broken(f"a tag has {count} values; the limit is {MAX_VALUES}")
    order, letter = form[0], form[1]
    at += layout.entry_bytes - layout.inline_bytes
    if struct.calcsize(order + letter) * count > layout.inline_bytes:
        (at,) = struct.unpack_from(order + layout.first, body, at)
    return struct.unpack_from(f"{order}{count}{letter}", body, at)


def first_value(tags: Tags, tag: int, absent: int | None = None) -> int:
    """Return a tag's first value, or `absent`; raises BrokenImageError where neither is there."""
    values = tags.get(tag, ())
    if values:
        return values[0]
    if absent is None:
        msg = f"the tiff file lacks its tag {tag}; send the whole file, or save the image again"
        raise BrokenImageError(msg)
    return absent


def rewritten(body: bytes | bytearray, tags: Tags) -> bytes:
    """Return a classic TIFF of the same data whose only directory has these tags."""
    order = byte_order(body)
    start = len(body) + len(body) % 2
    values_at = start + 2 + 12 * len(tags) + 4
    entries, values = b"", b""
    for tag in sorted(tags):
        data = struct.pack(f"{order}{len(tags[tag])}I", *tags[tag])
        entry = struct.pack(order + "HHI", tag, _LONG, len(tags[tag]))
        if len(data) > 4:  # noqa: PLR2004 - the room in an entry
            entries += entry + struct.pack(order + "I", values_at + len(values))
            values += data
        else:
            entries += entry + data
    head = bytes(body[:2]) + struct.pack(order + "HI", 42, start)
    directory = struct.pack(order + "H", len(tags)) + entries + bytes(4)
    return head + bytes(body[8:]) + bytes(len(body) % 2) + directory + values


def _broken(seen: str) -> BrokenImageError:
    return BrokenImageError(
        f"the tiff file is damaged or cut short: {seen}; send all of it, or save the image again"
    )
