"""A photo's bytes come in; its size, and then its pixels as a viewer shows them, go out.

The gateway calls `read_header` and `check_pixels` before it accepts a photo, and `decode` to draw
an overlay; the worker calls `decode`, `fit` and `reduce`. One piece of code reads every photo, so
the two cannot disagree about its size or its orientation. No torch here.

Whatever the bytes, `read_header` and `decode` raise a `ProblemError` or return. A `MemoryError`
passes through: it speaks of the machine, not of the photo.
"""

from handlers.shared.errors import (
    BrokenImageError,
    EmptyBodyError,
    SideTooLongError,
    TooManyPixelsError,
)
from handlers.shared.photo import pillow as raster
from handlers.shared.photo import webp
from handlers.shared.photo.bmp import decode as bmp
from handlers.shared.photo.decoder_errors import ignore_decoder_warnings
from handlers.shared.photo.exif import turn
from handlers.shared.photo.formats import (
    DEFAULT_FORMATS,
    MEDIA_TYPES,
    OPTIONAL_FORMATS,
    sniff,
)
from handlers.shared.photo.header import MAX_SIDE, Header, Orientation, Pixels
from handlers.shared.photo.jpeg import decode as jpeg
from handlers.shared.photo.png import header as png
from handlers.shared.photo.resize import fit, reduce
from handlers.shared.photo.tiff import decode as tiff

__all__ = [
    "DEFAULT_FORMATS",
    "MAX_SIDE",
    "MEDIA_TYPES",
    "OPTIONAL_FORMATS",
    "Header",
    "Orientation",
    "Pixels",
    "check_pixels",
    "decode",
    "fit",
    "ignore_decoder_warnings",
    "read_header",
    "reduce",
    "sniff",
]

_HEADER_READERS = {
    "jpeg": jpeg.read_header,
    "png": png.read_header,
    "webp": webp.read_header,
    "bmp": bmp.read_header,
    "tiff": tiff.read_header,
}
_DECODERS = {"jpeg": jpeg.decode, "bmp": bmp.decode}


def read_header(body: bytes | bytearray, formats: frozenset[str] = DEFAULT_FORMATS) -> Header:
    """Return the photo's format, size and orientation without decoding a pixel.

    Raises EmptyBodyError, BrokenImageError, or UnsupportedMediaTypeError for a format outside
    `formats`.
    """
    if not body:
        msg = "the body is empty; send the bytes of an image"
        raise EmptyBodyError(msg)
    name = sniff(body, formats)
    reader = _HEADER_READERS.get(name)
    header = reader(body) if reader else raster.read_header(body, name)
    if min(header.height, header.width) < 1:
        msg = f"{name} header says {header.width}x{header.height} pixels; save the image again"
        raise BrokenImageError(msg)
    return header


def check_pixels(header: Header, max_pixels: int) -> None:
    """Raise TooManyPixelsError for more than `max_pixels` pixels, SideTooLongError for a side."""
    pixels = header.height * header.width
    if pixels > max_pixels:
        msg = (
            f"image is {header.width}x{header.height} pixels ({pixels}); the limit is "
            f"{max_pixels}; downscale it or raise FCNSERVE_MAX_PIXELS"
        )
        raise TooManyPixelsError(msg)
    if max(header.height, header.width) > MAX_SIDE:
        msg = (
            f"image is {header.width}x{header.height} pixels; no side may be longer than "
            f"{MAX_SIDE}; cut it into parts, or downscale it"
        )
        raise SideTooLongError(msg)


def decode(body: bytes | bytearray, header: Header, orientation: Orientation = "exif") -> Pixels:
    """Return the photo as (H, W, 3) RGB, C-contiguous, of exactly `header.size(orientation)`.

    Call `check_pixels` first: memory for the header's size is taken before the data is seen.
    Raises BrokenImageError; TooManyPixelsError where Pillow has a ceiling of its own.
    """
    decoder = _DECODERS.get(header.format)
    if header.format == "tiff":
        stored = tiff.decode(body, header)
    else:
        stored = decoder(body) if decoder else raster.decode(body, header)
    if stored.shape[:2] != (header.height, header.width):
        msg = (
            f"image data is {stored.shape[1]}x{stored.shape[0]} pixels, but its header says "
            f"{header.width}x{header.height}; save the image again"
        )
        raise BrokenImageError(msg)
    return turn(stored, header.exif) if orientation == "exif" else stored
