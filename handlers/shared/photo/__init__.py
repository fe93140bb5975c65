"""Photo formats: bytes in; the size, and then the pixels as a viewer shows them, out.

The gateway calls `read_header` and `check_pixels` before it accepts a photo, and `decode` to draw
an overlay; the worker calls `decode`, `fit` and `reduce`. Both use the same code, so they cannot
disagree about a photo's size or orientation. No torch here.

For any bytes, `read_header` and `decode` raise a `ProblemError` or return. A `MemoryError` passes
through: its cause is the machine, not the photo.

Libraries weighed for headers: imagesize returns sizes only, without orientation; OpenCV decodes to
find a size; pyvips reports no number of scans, by which a JPEG's cost is predicted; Pillow takes
unbounded time or memory to open some formats (see `jpeg`, `png`, `webp`, `gif`). So headers are
read here, in bounded time, and only pixels come from Pillow and simplejpeg.
"""

from handlers.shared.errors import (
    BrokenImageError,
    EmptyBodyError,
    SideTooLongError,
    TooManyPixelsError,
)
from handlers.shared.photo import bmp, jpeg, pillow, png, tiff, webp
from handlers.shared.photo.decoder_errors import ignore_decoder_warnings
from handlers.shared.photo.exif import turn
from handlers.shared.photo.formats import (
    DEFAULT_FORMATS,
    MEDIA_TYPES,
    OPTIONAL_FORMATS,
    sniff,
)
from handlers.shared.photo.header import MAX_SIDE, Header, Orientation, Pixels
from handlers.shared.photo.resize import fit, reduce

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
_DECODERS = {"png": png.decode, "bmp": bmp.decode}
_DECODERS_WITH_HEADER = {"jpeg": jpeg.decode, "tiff": tiff.decode}


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
    header = reader(body) if reader else pillow.read_header(body, name)
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

    `header` is what `read_header` returns for `body`. Call `check_pixels` first: memory for the
    header's size is taken before the data is seen.
    Raises BrokenImageError; TooManyPixelsError where Pillow has a ceiling of its own.
    """
    if decoder := _DECODERS.get(header.format):
        stored = decoder(body)
    else:
        stored = _DECODERS_WITH_HEADER.get(header.format, pillow.decode)(body, header)
    if stored.shape[:2] != (header.height, header.width):
        msg = (
            f"image data is {stored.shape[1]}x{stored.shape[0]} pixels, but its header says "
            f"{header.width}x{header.height}; save the image again"
        )
        raise BrokenImageError(msg)
    return turn(stored, header.exif) if orientation == "exif" else stored
