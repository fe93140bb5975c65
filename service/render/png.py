"""The reader of the worker's PNGs: label maps as arrays, or relabelled without decoding them.

PNG bytes come in, arrays or PNG bytes go out. Called by `service.render.outputs`; PNGs are written
by `handlers.shared.png`, as in the worker.
"""

import struct
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from handlers.shared.png import BITS, GREY, GREY_ALPHA, INDEXED, SIGNATURE, chunk

IHDR_START = b"\x00\x00\x00\x0dIHDR"  # PNG specification 11.2.1
PIXELS_START = 33  # the signature and a whole IHDR chunk


def read_labels(png: bytes) -> NDArray[np.uint8]:
    """Return the class ids (H, W) of an indexed, grey or grey+alpha PNG; ValueError for others."""
    return _read_samples(png)[0]


def read_confidence(png: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return class ids and confidences (H, W) of a grey+alpha PNG; ValueError for others."""
    labels, confidence = _read_samples(png)
    if confidence is None:
        raise ValueError("the PNG has no confidence channel; a grey+alpha PNG is needed")
    return labels, confidence


def as_grey(png: bytes) -> bytes:
    """Turn an indexed PNG into a grey one of the same numbers without touching its pixel data.

    An index and a grey level are both one byte a pixel, so only the header's colour type changes
    and the palette is dropped: nothing is decompressed. ValueError unless 8-bit indexed.
    """
    if _colour_type(png) != INDEXED:
        raise ValueError("only an 8-bit indexed PNG can be relabelled as grey")
    parts = [SIGNATURE]
    for kind, data in _chunks(png):
        if kind == b"IHDR":
            parts.append(chunk(kind, data[:9] + bytes([GREY]) + data[10:]))
        elif kind not in (b"PLTE", b"tRNS"):
            parts.append(chunk(kind, data))
    return b"".join(parts)


def _read_samples(png: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    colour_type = _colour_type(png)
    if colour_type == INDEXED:
        png = as_grey(png)  # OpenCV would read an indexed PNG as colours
    elif colour_type not in (GREY, GREY_ALPHA):
        raise ValueError(f"PNG colour type is {colour_type}; a label map has 0, 3 or 4")
    samples = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None:
        raise ValueError("the label map's PNG cannot be decoded")
    levels: NDArray[np.uint8] = samples.astype(np.uint8, copy=False)
    if colour_type == GREY_ALPHA:  # OpenCV spreads it to (H, W, 4): grey three times, alpha
        return levels[..., 0].copy(), levels[..., 3].copy()
    return levels, None


def _colour_type(png: bytes) -> int:
    if png[:16] != SIGNATURE + IHDR_START or len(png) < PIXELS_START:
        raise ValueError("not a PNG")
    depth, colour_type, _, _, interlaced = png[24:29]
    if depth != BITS or interlaced:
        raise ValueError("a label map's PNG has 8 bits a sample and no interlacing")
    return colour_type


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Iterate over chunk types and contents, up to where a truncated file ends (the decoder reports
    that).
    """
    offset = len(SIGNATURE)
    while offset + 12 <= len(png):
        (length,) = struct.unpack_from(">I", png, offset)
        yield png[offset + 4 : offset + 8], png[offset + 8 : offset + 8 + length]
        offset += 12 + length
