"""The pixels of a PNG, through Pillow, with the checks that Pillow lacks.

Pillow stops silently when the compressed data end at the end of a row, and leaves the rest black;
every viewer reports such a file as broken. Counting the data means inflating them twice, so that is
done only where rows can be missing: when the last row is all zero.
Pillow keeps a grey or RGB image's transparent colour (tRNS) as the file has it, also where the
samples have been reduced to 8 bits meanwhile.
(PNG, third edition, section 8: interlacing in seven passes; 11.3.1.1: transparency.)
"""

import io
import struct
import zlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from PIL.PngImagePlugin import PngImageFile

from handlers.shared.errors import BrokenImageError
from handlers.shared.photo.decoder_errors import translated
from handlers.shared.photo.header import Pixels
from handlers.shared.photo.png.header import pixels_only
from handlers.shared.photo.rgb import WHITE, as_shown

_STEP_BYTES = 1 << 20
_PIECE_BYTES = 1 << 16
_GREY, _RGB = 0, 2  # colour types
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type -> samples of a pixel
_EIGHT, _DEEP = 8, 16  # bits a sample
_NOT_INTERLACED = ((0, 0, 1, 1),)
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
        for row, column, row_step, column_step in _ADAM7 if self.interlace else _NOT_INTERLACED:
            rows = -(-(self.height - row) // row_step)
            columns = -(-(self.width - column) // column_step)
            if rows > 0 and columns > 0:
                total += rows * (1 + -(-columns * self.bits * _SAMPLES[self.colour] // 8))
        return total


def decode(body: bytes | bytearray) -> Pixels:
    """Return the pixels, (H, W, 3) RGB; raises BrokenImageError."""
    with translated("png"):
        return _decode(body)


def _decode(body: bytes | bytearray) -> Pixels:
    png, packed = pixels_only(body)
    image = PngImageFile(io.BytesIO(png))
    geometry = _Geometry(*struct.unpack_from(">IIBBBBB", png, 16))
    image.load()
    if not _has_all_rows(image, geometry, packed):
        msg = "the png data have fewer rows than the header says; save the image again"
        raise BrokenImageError(msg)
    key = image.info.get("transparency")
    if geometry.colour == _RGB and geometry.bits == _DEEP and key is not None:
        del image.info["transparency"]
        return _keyed(as_shown(image), _low_bytes(png), key)
    if geometry.colour in (_GREY, _RGB) and geometry.bits <= _EIGHT and key is not None:
        image.info["transparency"] = _in_eight_bits(key, geometry)
    return as_shown(image)


def _in_eight_bits(key: int | tuple[int, ...], geometry: _Geometry) -> int | tuple[int, ...]:
    """Return the transparent colour as the pixels have it; bits beyond the depth do not count."""
    most = (1 << geometry.bits) - 1
    if isinstance(key, int):
        return (key & most) * (WHITE // most)
    return tuple(sample & most for sample in key)


def _low_bytes(png: bytes) -> Pixels:
    """Decode again: Pillow's 16-bit samples lose their low bytes, or here their high ones."""
    image = PngImageFile(io.BytesIO(png))
    image.tile = [image.tile[0]._replace(args="RGB;16L")]
    image.load()
    return np.asarray(image)


def _keyed(high: Pixels, low: Pixels, key: tuple[int, ...]) -> Pixels:
    """Turn pixels of exactly the colour `key` (16 bits a sample) white."""
    colour = np.array(key, np.uint16)
    hit = ((high == colour >> 8) & (low == (colour & 0xFF))).all(axis=2)  # (H, W)
    return np.where(hit[..., None], np.uint8(WHITE), high)


def _has_all_rows(image: PngImageFile, geometry: _Geometry, packed: Iterable[memoryview]) -> bool:
    """Check whether the data of a loaded image reach its last row."""
    last_row = image.crop((0, image.height - 1, image.width, image.height))
    if not geometry.interlace and np.asarray(last_row).any():
        return True
    return _inflates_to(packed, geometry.data_bytes())


def _inflates_to(packed: Iterable[memoryview], expected_bytes: int) -> bool:
    inflate = zlib.decompressobj()
    inflated_bytes = 0
    for part in packed:
        for start in range(0, len(part), _PIECE_BYTES):
            data = bytes(part[start : start + _PIECE_BYTES])
            while data and inflated_bytes < expected_bytes:
                inflated_bytes += len(inflate.decompress(data, _STEP_BYTES))
                data = inflate.unconsumed_tail
    return inflated_bytes >= expected_bytes
