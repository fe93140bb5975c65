"""Writes label maps and photos as PNG: 8 bits a sample, no interlacing.

Called by the worker (`handlers.stages.encode`) and the gateway. ISA-L compresses the pixel data at
level 1: label maps are long runs, which it compresses several times faster than zlib while the
files stay small. Libraries weighed: Pillow and OpenCV compress with zlib or zlib-ng, and OpenCV
writes no palette; `docs/encoders.md` has the times, and why the first bytes are compressed apart.
"""

import struct
import zlib

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, INDEXED, GREY_ALPHA = 0, 2, 3, 4  # colour types, PNG specification 11.2.1
BITS = 8  # a sample
NO_FILTER, UP = 0, 2  # row filters, PNG specification 9.2
ISAL_LEVEL = 1
FIRST_BYTES = 16  # compressed apart


def write_indexed(labels: NDArray[np.uint8], palette: bytes) -> bytes:
    """Indexed PNG of class ids (H, W); `palette` is RGB triples, at most 256."""
    return _write(labels, INDEXED, NO_FILTER, palette)


def write_grey(labels: NDArray[np.uint8]) -> bytes:
    """Grey PNG whose levels are the class ids (H, W)."""
    return _write(labels, GREY, NO_FILTER)


def write_grey_alpha(labels: NDArray[np.uint8], confidence: NDArray[np.uint8]) -> bytes:
    """Grey+alpha PNG: grey is the class id, alpha the confidence (both (H, W))."""
    return _write(np.dstack([labels, confidence]), GREY_ALPHA, NO_FILTER)


def write_rgb(pixels: NDArray[np.uint8]) -> bytes:
    """RGB PNG of a photo (H, W, 3).

    Rows are stored as differences to the row above: a photo comes out a quarter smaller
    than unfiltered, in the same time.
    """
    return _write(pixels, RGB, UP)


def _write(
    pixels: NDArray[np.uint8], colour_type: int, row_filter: int, palette: bytes = b""
) -> bytes:
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, BITS, colour_type, 0, 0, 0)
    parts = [SIGNATURE, chunk(b"IHDR", header)]
    if palette:
        parts.append(chunk(b"PLTE", palette))
    packed = compressed(_filtered(pixels.reshape(height, -1), row_filter).data.cast("B"))
    return b"".join([*parts, chunk(b"IDAT", packed), chunk(b"IEND", b"")])


def compressed(data: memoryview) -> bytes:
    """Return a zlib stream (RFC 1950), the same one for the same bytes in every thread and process.

    ISA-L 2.32, when it begins with more than a few bytes, hashes an address of the thread's stack
    in the place of the second byte: now and then it finds other matches, and the stream differs
    (docs/encoders.md). The few first bytes take another way, and the rest continues after them.
    """
    compressor = isal_zlib.compressobj(ISAL_LEVEL)
    return b"".join(
        [
            compressor.compress(data[:FIRST_BYTES]),
            compressor.flush(isal_zlib.Z_SYNC_FLUSH),
            compressor.compress(data[FIRST_BYTES:]),
            compressor.flush(),
        ]
    )


def _filtered(rows: NDArray[np.uint8], row_filter: int) -> NDArray[np.uint8]:
    """Rows (H, bytes) as PNG compresses them: (H, 1 + bytes), the filter's number first."""
    filtered = np.empty((rows.shape[0], rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = row_filter
    if row_filter == UP:
        filtered[0, 1:] = rows[0]  # the row above the first counts as zeros
        np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    else:
        filtered[:, 1:] = rows
    return filtered


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
