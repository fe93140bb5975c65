"""JPEG: its header from the segments, its pixels through libjpeg-turbo.

simplejpeg decodes without holding the interpreter's lock, and its accurate DCT and fancy
upsampling give Pillow's pixels. It is strict: libjpeg's warnings are errors, so truncated files
and wrong headers are layout. But libjpeg warns also about files that every viewer shows in full:
cameras write stray bytes before a marker, phones odd scan parameters. A file that fails is
therefore decoded again without its stray bytes, and then by Pillow, which ignores warnings and
whose result counts if every pixel came from the file (`handlers.shared.photo.jpeg.truncation`).
A valid file costs none of this.

CMYK and YCCK get their pixels from Pillow, which undoes Adobe's inversion; truncation is checked as
with other JPEGs. Libraries weighed: OpenCV and Pillow return truncated files without an error, or
refuse the harmless ones as well.
"""

import io
import re
from contextlib import suppress

import numpy as np
import simplejpeg
from PIL.JpegImagePlugin import JpegImageFile

from handlers.shared.errors import BrokenImageError, ImageTooCostlyError
from handlers.shared.photo.decoder_errors import DECODER_ERRORS, translated
from handlers.shared.photo.exif import orientation_in
from handlers.shared.photo.header import Header, Pixels
from handlers.shared.photo.jpeg.kinds import refuse_other_kinds
from handlers.shared.photo.jpeg.scans import Scans, find_scans, has_all_bits, restarts_are_right
from handlers.shared.photo.jpeg.segments import LOSSLESS, Layout, read_layout, without_stray_bytes
from handlers.shared.photo.jpeg.truncation import is_complete

MAX_REPAIRED_PIXELS = 64_000_000
"""In all scans together. A file that a strict decoder refuses is decoded up to five times more,
which no header predicts; a larger one counts as damaged."""

MAX_SCANS = 50
"""Each scan walks over all of the image, also one of ten bytes: 65 ms at 16 megapixels. Writers use
about ten."""

CMYK_COST = 6.0
"""A pixel of CMYK takes that many of RGB: it is checked, decoded again and converted by Pillow."""

_CMYK_COMPONENTS = 4
_END = b"\xff\xd9"
_SURPLUS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_CUTS = 4
_DAMAGED = (
    "the jpeg data are cut short, or not of the size that their header says; "
    "send the whole file, or save the image again"
)


def read_header(body: bytes | bytearray) -> Header:
    """Return the header of a JPEG.

    Raises BrokenImageError when there is none, UnsupportedMediaTypeError for kinds not read.
    """
    layout = read_layout(body)
    refuse_other_kinds(body, layout)
    exif = orientation_in(layout.exif, layout.xmp)
    is_cmyk = layout.components == _CMYK_COMPONENTS
    work = CMYK_COST if is_cmyk else 1.0
    scans = _scans(body, layout)
    return Header("jpeg", layout.height, layout.width, exif, scans, work, is_cmyk)


def decode(body: bytes | bytearray, header: Header) -> Pixels:
    """Return the pixels as stored, (H, W, 3) RGB; raises BrokenImageError."""
    with suppress(*DECODER_ERRORS):
        pixels = _strictly(body, "CMYK" if header.is_cmyk else "RGB")
        return _with_pillow(bytes(body)) if header.is_cmyk else pixels
    return _decode_refused(body, is_cmyk=header.is_cmyk)


def _decode_refused(body: bytes | bytearray, *, is_cmyk: bool) -> Pixels:
    """Decode what the strict decoder has refused, if nothing of it is missing."""
    layout = read_layout(body)
    if layout.frame.marker == LOSSLESS:
        raise BrokenImageError(_DAMAGED)
    scans = find_scans(body, layout, MAX_SCANS)
    if layout.height * layout.width * len(scans.scans) > MAX_REPAIRED_PIXELS:
        raise BrokenImageError(_DAMAGED)
    _check_markers(body, layout, scans)
    clean = without_stray_bytes(body, layout, scans.end - 2 * scans.ended) + _END
    if not scans.ended:
        return _without_surplus(clean, is_cmyk=is_cmyk)
    if not is_cmyk:
        with suppress(*DECODER_ERRORS):
            return _strictly(clean)
    return _leniently(clean)


def _scans(body: bytes | bytearray, layout: Layout) -> int:
    """Count the scans; raises ImageTooCostlyError for more than MAX_SCANS."""
    if layout.scan is None or not layout.has_several_scans(body):
        return 1
    scans = len(find_scans(body, layout, MAX_SCANS + 1).scans)
    if scans > MAX_SCANS:
        msg = f"the jpeg file has more than {MAX_SCANS} scans; save the image again"
        raise ImageTooCostlyError(msg)
    return scans


def _check_markers(body: bytes | bytearray, layout: Layout, scans: Scans) -> None:
    """Raise BrokenImageError where the markers show that pixels are missing."""
    if not scans.ended and not has_all_bits(body, layout, scans):
        msg = "the jpeg file stops before its last scan; send the whole file"
        raise BrokenImageError(msg)
    if not restarts_are_right(body, layout, scans):
        msg = "the jpeg file lacks some of its restart markers, or they are out of order; "
        raise BrokenImageError(msg + "send the whole file, or save the image again")


def _strictly(body: bytes | bytearray, colours: str = "RGB") -> Pixels:
    pixels: Pixels = simplejpeg.decode_jpeg(
        body, colours, fastdct=False, fastupsample=False, strict=True
    )
    return pixels


def _without_surplus(body: bytes, *, is_cmyk: bool) -> Pixels:
    """Decode a JPEG whose end marker was missing, so that any bytes may precede it.

    libjpeg reports how many surplus bytes it has found, but for a few that it has read ahead. That
    is a hint where to cut: what counts is that the rest is read without a warning. Truncated data
    fail that, unless more bytes than they lack follow and happen to decode as pixels.
    """
    for _ in range(_CUTS):
        try:
            pixels = _strictly(body, "CMYK" if is_cmyk else "RGB")
        except DECODER_ERRORS as error:
            surplus = _SURPLUS.search(str(error))
            if not surplus:
                break
            body = body[: -int(surplus[1]) - len(_END)] + _END
        else:
            return _with_pillow(body) if is_cmyk else pixels
    raise BrokenImageError(_DAMAGED)


def _leniently(body: bytes) -> Pixels:
    with translated("jpeg"):
        pixels = _with_pillow(body)
        if is_complete(body, pixels, _with_pillow):
            return pixels
    raise BrokenImageError(_DAMAGED)


def _with_pillow(body: bytes) -> Pixels:
    return np.asarray(JpegImageFile(io.BytesIO(body)).convert("RGB"))
