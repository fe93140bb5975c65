"""BMP: distinguishes its kinds; decodes pixels by Pillow, and run-length coded ones here.

Libraries weighed for run-length coding: Pillow's reader works pixel by pixel in Python and drops
empty rows, so that a kilobyte takes minutes; OpenCV's misreads skipped pixels. Layout:
https://learn.microsoft.com/windows/win32/gdi/bitmap-storage
"""

import io
import struct
from typing import NamedTuple

import numpy as np
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile

from handlers.shared.errors import BrokenImageError, UnsupportedMediaTypeError
from handlers.shared.photo.bmp.run_length import indices
from handlers.shared.photo.decoder_errors import translated
from handlers.shared.photo.header import Header, Pixels
from handlers.shared.photo.rgb import as_shown

RUN_COST = 45
"""Reading a byte of run-length code takes as long as that many pixels of a plain BMP."""

_FILE_HEADER_BYTES = 14
_CORE_HEADER, _OS2_HEADER = 12, 64
_HEADERS = frozenset({_CORE_HEADER, 40, 52, 56, _OS2_HEADER, 108, 124})
_RAW, _RLE8, _RLE4, _BITFIELDS = range(4)
_RUN_BITS = {_RLE8: 8, _RLE4: 4}
_READ_BITS = frozenset({1, 4, 8, 16, 24, 32})
_UNREAD_BITS = frozenset({2, 64})
_UNREAD = {4: "a JPEG inside", 5: "a PNG inside", 11: "CMYK", 12: "CMYK", 13: "CMYK"}
_UNREAD_OS2 = {3: "1-bit Huffman coding (OS/2)", 4: "24-bit run-length coding (OS/2)"}


class _Info(NamedTuple):
    """The header fields of a BMP; the pixels start at `start`."""

    header_bytes: int
    width: int
    height: int
    top_down: bool
    bits: int
    coding: int
    colours: int
    start: int


def read_header(body: bytes | bytearray) -> Header:
    """Return the header of a BMP.

    Raises BrokenImageError when it is cut, UnsupportedMediaTypeError for kinds that are not read.
    """
    info = _info(body)
    _refuse_other_kinds(body, info)
    work = 1.0
    if info.coding in _RUN_BITS:
        work += RUN_COST * len(body) / max(1, info.height * info.width)
    return Header("bmp", info.height, info.width, 1, work=work)


def decode(body: bytes | bytearray) -> Pixels:
    """Return the pixels, (H, W, 3) RGB; raises BrokenImageError."""
    info = _info(body)
    _refuse_other_kinds(body, info)
    if info.coding in _RUN_BITS:
        return _of_runs(body, info)
    with translated("bmp"):
        image = BmpImageFile(io.BytesIO(body))
        image.load()
        return as_shown(_opaque_if_unset(image))


def _info(body: bytes | bytearray) -> _Info:
    start, header_bytes = _numbers("<II", body, 10)
    if header_bytes == _CORE_HEADER:
        width, height, _, bits = _numbers("<HHHH", body, 18)
        return _Info(header_bytes, width, height, False, bits, _RAW, 0, start)
    if header_bytes not in _HEADERS:
        if header_bytes == 16:  # noqa: PLR2004 - OS/2's header, cut as its specification allows
            raise _unread("a short OS/2 header")
        raise _broken(f"its header has an unknown length: {header_bytes}")
    width, height, _, bits, coding = _numbers("<iiHHI", body, 18)
    (colours,) = _numbers("<I", body, 46)
    if width < 0:
        raise _broken("its width is negative")
    return _Info(header_bytes, width, abs(height), height < 0, bits, coding, colours, start)


def _refuse_other_kinds(body: bytes | bytearray, info: _Info) -> None:
    unread = {**_UNREAD, **_UNREAD_OS2} if info.header_bytes == _OS2_HEADER else _UNREAD
    if info.coding in unread:
        raise _unread(unread[info.coding])
    if info.bits in _UNREAD_BITS:
        raise _unread(f"{info.bits} bits a pixel")
    if info.coding > _BITFIELDS or info.bits not in _READ_BITS:
        raise _broken(f"it has coding {info.coding} at {info.bits} bits a pixel")
    if info.bits != _RUN_BITS.get(info.coding, info.bits):
        raise _broken(f"run-length coding {info.coding} has no {info.bits} bits a pixel")
    if info.coding == _BITFIELDS:
        with translated("bmp"):
            masks = _numbers("<III", body, _FILE_HEADER_BYTES + 40)
        if not _is_read(info.bits, masks):
            raise _unread("colours of other than 8 (or, in 16 bits, 5 or 6) bits")


def _is_read(bits: int, masks: tuple[int, ...]) -> bool:
    """Check whether these are masks of samples that Pillow splits."""
    if bits == 32:  # noqa: PLR2004
        return not any(masks) or all(
            mask in (0xFF << at for at in (0, 8, 16, 24)) for mask in masks
        )
    return masks in {
        24: [(0xFF0000, 0xFF00, 0xFF)],
        16: [(0xF800, 0x7E0, 0x1F), (0x7C00, 0x3E0, 0x1F)],
    }.get(bits, [])


def _of_runs(body: bytes | bytearray, info: _Info) -> Pixels:
    at = _FILE_HEADER_BYTES + info.header_bytes
    colours = min(info.colours or 256, 1 << info.bits)
    # of four bytes: blue, green, red, unused; missing entries are black
    table = bytes(body[at : at + 4 * colours]).ljust(1024, b"\0")
    coded = bytes(body[info.start :])
    plane = indices(coded, info.height, info.width, nibbles=info.coding == _RLE4)  # (H, W)
    if plane is None:
        raise _broken("its runs stop before its last row")
    image = Image.fromarray(plane if info.top_down else plane[::-1], "P")
    image.putpalette(table[:1024], "BGRX")
    return np.asarray(image.convert("RGB"))


def _opaque_if_unset(image: Image.Image) -> Image.Image:
    """Return the image without an alpha channel that is 0 everywhere.

    Programs without alpha leave its bytes unset, and every viewer shows such a file.
    """
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        return image.convert("RGB")
    return image


def _numbers(form: str, body: bytes | bytearray, at: int) -> tuple[int, ...]:
    if at + struct.calcsize(form) > len(body):
        raise _broken("it stops within its header")
    return struct.unpack_from(form, body, at)


def _unread(kind: str) -> UnsupportedMediaTypeError:
    return UnsupportedMediaTypeError(
        f"the body is a bmp file of a kind that is not read: {kind}; save it as a plain BMP of 24 "
        "bits a pixel, or as PNG"
    )


def _broken(seen: str) -> BrokenImageError:
    return BrokenImageError(
        f"the bmp file is damaged or cut short: {seen}; send all of it, or save the image again"
    )
