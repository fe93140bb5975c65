"""EXIF orientation: reading it, turning pixels by it, and turning them back.

The orientation is the one that Pillow's `ImageOps.exif_transpose` obeys: the EXIF tag, else
`tiff:Orientation` in XMP. Metadata never make a photo unreadable: any error in them counts as
orientation 1. Pillow's own reader copies every value of a directory to return one; here the
directory is walked for the one tag, so that only its size costs time. Called by the reader of each
format, and by `handlers.shared.photo`.
"""

import re
import struct

import numpy as np

from handlers.shared.photo.header import FIRST_TURNED_BY_A_QUARTER, Pixels

MAX_EXIF_BYTES = 1_000_000
"""Of a file's EXIF, more is not read; a JPEG's segment holds 65,533 bytes, and the directory with
the orientation comes first."""
MAX_XMP_BYTES = 1_000_000

UPRIGHT = 1
_ORIENTATIONS = range(1, 9)
_PREFIX = re.compile(rb"^(?:Exif\0\0){1,2}")
_IN_XMP = re.compile(rb"tiff:Orientation(?:=\"|>)([0-9])")
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_TIFF_HEADER_BYTES, _ENTRY_BYTES, _INLINE_BYTES = 8, 12, 4
_ORIENTATION = 0x0112
_INTEGERS = {1: "B", 3: "H", 4: "I"}  # types of TIFF values, as `struct` writes them
# Orientation -> (rows reversed, columns reversed), after the transposition that 5 to 8 begin with.
_FLIPS = {
    1: (False, False),
    2: (False, True),
    3: (True, True),
    4: (True, False),
    5: (False, False),
    6: (False, True),
    7: (True, True),
    8: (True, False),
}
_INVERSE = {6: 8, 8: 6}


def orientation_in(exif: bytes, xmp: bytes = b"") -> int:
    """Return the orientation (1 to 8) that the raw EXIF and XMP blocks of a file ask for."""
    if not exif and not xmp:
        return UPRIGHT
    value = _in_directory(_PREFIX.sub(b"", exif[:MAX_EXIF_BYTES]))
    if value is None:
        match = _IN_XMP.search(xmp, 0, MAX_XMP_BYTES)
        value = int(match[1]) if match else UPRIGHT
    return value if value in _ORIENTATIONS else UPRIGHT


def _in_directory(tiff: bytes) -> int | None:
    """Return the tag's value in the first directory of a TIFF (TIFF 6.0, section 2), if it is
    there.
    """
    order = _BYTE_ORDERS.get(tiff[:4])
    if order is None or len(tiff) < _TIFF_HEADER_BYTES:
        return None
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    if start + 2 > len(tiff):
        return None
    (entries,) = struct.unpack_from(order + "H", tiff, start)
    last = min(start + 2 + entries * _ENTRY_BYTES, len(tiff) - _ENTRY_BYTES + 1)
    for at in range(start + 2, last, _ENTRY_BYTES):
        tag, kind, count = struct.unpack_from(order + "HHI", tiff, at)
        if tag == _ORIENTATION and kind in _INTEGERS and count:
            return _first_value(tiff, at + 8, order + _INTEGERS[kind], count)
    return None


def _first_value(tiff: bytes, at: int, form: str, count: int) -> int | None:
    """Return the first of `count` values, which are at `at` or where that points to."""
    size = struct.calcsize(form)
    if size * count > _INLINE_BYTES:
        (at,) = struct.unpack_from(form[0] + "I", tiff, at)
    if at + size * count > len(tiff):
        return None
    (value,) = struct.unpack_from(form, tiff, at)
    return int(value)


def turn(pixels: Pixels, orientation: int) -> Pixels:
    """Return (H, W, 3) pixels turned by `orientation`, C-contiguous."""
    if orientation == UPRIGHT:
        return pixels
    # pixels of three bytes are moved at once: 1.8 times as fast as byte by byte
    grid = pixels.view("V3")[..., 0]  # (H, W)
    if orientation >= FIRST_TURNED_BY_A_QUARTER:
        grid = grid.T  # (W, H)
    rows, columns = _FLIPS[orientation]
    grid = grid[:: -1 if rows else 1, :: -1 if columns else 1]
    return np.ascontiguousarray(grid).view(np.uint8).reshape(*grid.shape, 3)


def turn_back(pixels: Pixels, orientation: int) -> Pixels:
    """Undo `turn`."""
    return turn(pixels, _INVERSE.get(orientation, orientation))
