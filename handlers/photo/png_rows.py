"""Does a PNG's data fill all the rows that its header promises?

Pillow stops without a word when the compressed data end at the end of a row, and leaves the rest
black; every viewer says that such a file is broken. Inflating twice would be the price of always
counting, so that is done only where rows can be missing: when the last row is all zero.
(PNG, third edition, section 8: interlacing in seven passes.)
"""

import struct
import zlib
from typing import NamedTuple

import numpy as np
from PIL.PngImagePlugin import PngImageFile

from handlers.photo.png import chunks

_STEP_BYTES = 1 << 20
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type -> samples of a pixel
_WHOLE = ((0, 0, 1, 1),)
# First row, first column, rows and columns from one pixel to the next.
_ADAM7 = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)


class _Geometry(NamedTuple):
    width: int
    height: int
    bits: int
    colour: int
    compression: int
    filtering: int
    interlace: int

    def data_bytes(self) -> int:
        """Return the length of the data when inflated: each row has a filter byte in front."""
        total = 0
        for row, column, row_step, column_step in _ADAM7 if self.interlace else _WHOLE:
            rows = -(-(self.height - row) // row_step)
            columns = -(-(self.width - column) // column_step)
            if rows > 0 and columns > 0:
                total += rows * (1 + -(-columns * self.bits * _SAMPLES[self.colour] // 8))
        return total


def has_all_rows(body: bytes | bytearray, image: PngImageFile) -> bool:
    """Tell whether the data of a loaded image reach its last row."""
    geometry = _Geometry(*struct.unpack_from(">IIBBBBB", body, 16))
    last_row = image.crop((0, image.height - 1, image.width, image.height))
    if not geometry.interlace and np.asarray(last_row).any():
        return True
    return _inflates_to(body, geometry.data_bytes())


def _inflates_to(body: bytes | bytearray, wanted_bytes: int) -> bool:
    inflate = zlib.decompressobj()
    found_bytes = 0
    for start, end in chunks(body):
        data = bytes(body[start + 8 : end - 4]) if body[start + 4 : start + 8] == b"IDAT" else b""
        while data and found_bytes < wanted_bytes:
            found_bytes += len(inflate.decompress(data, _STEP_BYTES))
            data = inflate.unconsumed_tail
    return found_bytes >= wanted_bytes
