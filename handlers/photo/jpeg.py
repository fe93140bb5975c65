"""JPEG: its header from the segments, its pixels through libjpeg-turbo.

simplejpeg decodes without holding the interpreter's lock, and its accurate DCT and fancy
upsampling give Pillow's pixels. It is strict: libjpeg's warnings are errors, so truncated files
and headers that lie are found. But libjpeg warns also about files that every viewer shows whole:
cameras write stray bytes before a marker, phones odd scan parameters. A file that fails is
therefore tried again without its stray bytes, and then by Pillow, which ignores warnings and
whose answer counts if every pixel came from the file (`jpeg_whole`). Whoever sends a good file
pays for none of this.

CMYK and YCCK always go through Pillow, which undoes Adobe's inversion.
"""

import io
from contextlib import suppress

import numpy as np
import simplejpeg
from PIL.JpegImagePlugin import JpegImageFile

from handlers.errors import BrokenImageError
from handlers.photo.exif import orientation_in
from handlers.photo.foreign import DECODER_ERRORS, translated
from handlers.photo.header import Header, Pixels
from handlers.photo.jpeg_kinds import refuse_other_kinds
from handlers.photo.jpeg_scans import Scans, find_scans, has_all_bits, restarts_are_right
from handlers.photo.jpeg_segments import Layout, layout, without_stray_bytes
from handlers.photo.jpeg_whole import is_whole

MAX_SCANS = 50
"""Each scan walks all of the image, also one of ten bytes: 65 ms at 16 megapixels. Writers use
about ten."""

_CMYK_COMPONENTS = 4
_END = b"\xff\xd9"


def read_header(body: bytes | bytearray) -> Header:
    """Return the header of a JPEG.

    Raises BrokenImageError when there is none, UnsupportedMediaTypeError for kinds not read.
    """
    found = layout(body)
    refuse_other_kinds(body, found)
    exif = orientation_in(found.exif, found.xmp)
    return Header("jpeg", found.height, found.width, exif, _scans(body, found))


def decode(body: bytes | bytearray) -> Pixels:
    """Return the pixels as stored, (H, W, 3) RGB; raises BrokenImageError."""
    found = layout(body)
    refuse_other_kinds(body, found)
    _scans(body, found)
    if found.components != _CMYK_COMPONENTS:
        with suppress(*DECODER_ERRORS):
            return _strictly(body)
    scans = find_scans(body, found, MAX_SCANS)
    _check_markers(body, found, scans)
    clean = without_stray_bytes(body, found, scans.end - 2 * scans.ended) + _END
    if found.components != _CMYK_COMPONENTS:
        with suppress(*DECODER_ERRORS):
            return _strictly(clean)
    return _leniently(clean, ended=scans.ended)


def _scans(body: bytes | bytearray, found: Layout) -> int:
    """Count the scans; raises BrokenImageError for more than MAX_SCANS."""
    if found.scan is None or not found.has_several_scans(body):
        return 1
    scans = len(find_scans(body, found, MAX_SCANS + 1).scans)
    if scans > MAX_SCANS:
        msg = f"the jpeg file has more than {MAX_SCANS} scans; save the image again"
        raise BrokenImageError(msg)
    return scans


def _check_markers(body: bytes | bytearray, found: Layout, scans: Scans) -> None:
    """Raise BrokenImageError where the markers alone show that pixels are missing."""
    if not scans.ended and not has_all_bits(body, found, scans):
        msg = "the jpeg file stops before its last scan; send the whole file"
        raise BrokenImageError(msg)
    if not restarts_are_right(body, found, scans):
        msg = "the jpeg file lacks some of its restart markers, or they are out of order; "
        raise BrokenImageError(msg + "send the whole file, or save the image again")


def _strictly(body: bytes | bytearray) -> Pixels:
    pixels: Pixels = simplejpeg.decode_jpeg(
        body, "RGB", fastdct=False, fastupsample=False, strict=True
    )
    return pixels


def _leniently(body: bytes, *, ended: bool) -> Pixels:
    with translated("jpeg"):
        pixels = _with_pillow(body)
        if is_whole(body, pixels, _with_pillow, ended=ended):
            return pixels
    msg = (
        "the jpeg data are cut short, or not of the size that their header says; "
        "send the whole file, or save the image again"
    )
    raise BrokenImageError(msg)


def _with_pillow(body: bytes) -> Pixels:
    return np.asarray(JpegImageFile(io.BytesIO(body)).convert("RGB"))
