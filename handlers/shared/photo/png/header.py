"""The header of a PNG, and its chunks: size and orientation, in bounded time.

Pillow's reader checks chunks without pixels as strictly as the pixels: a text that inflates to more
than 1 MB, or a wrong checksum in it, makes a photo unreadable. So the chunks are walked here, and
Pillow gets only those that define how the pixels are coded.
"""

import struct
import zlib
from collections.abc import Iterator

from handlers.shared.errors import BrokenImageError, ImageTooCostlyError, UnsupportedMediaTypeError
from handlers.shared.photo.exif import MAX_XMP_BYTES, orientation_in
from handlers.shared.photo.header import Header

MAX_CHUNKS = 65_536
"""A writer that makes 8 KB chunks reaches 512 MB; a walk this long takes 50 ms."""

KEYED_COST = 6.0

_DEEP_RGB = (16, 2)  # bits, colour type
_SIGNATURE_BYTES = 8
_FRAME_BYTES = 12  # length, kind and checksum around a chunk's data
_IHDR_BYTES = 13
_COLOUR_AT = 25
# colour type -> lengths that its tRNS chunk may have: a level, a colour, an alpha per entry
_TRANSPARENCY_BYTES = {0: range(2, 3), 2: range(6, 7), 3: range(1, 257)}
_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_MAX_KEY_BYTES = 80
_XMP, _HEX_EXIF = b"XML:com.adobe.xmp", b"Raw profile type exif"
_MAX_HEX_BYTES = 150_000  # of the 64 KiB that EXIF has at most, and of its line breaks
_HEX_HEAD_LINES = 3


def read_header(body: bytes | bytearray) -> Header:
    """Return the header of a PNG.

    Raises BrokenImageError when the size cannot be trusted, UnsupportedMediaTypeError for Apple's
    own kind of PNG.
    """
    all_chunks = chunks(body)
    start, end = next(all_chunks, (0, 0))
    first = bytes(body[start:end])
    if first[4:8] == b"CgBI":
        msg = (
            "the body is a png file of a kind that is not read: CgBI, as Xcode packs images for "
            "iPhones; send the original, or turn it back (pngcrush -revert-iphone-optimizations)"
        )
        raise UnsupportedMediaTypeError(msg)
    if first[:8] != struct.pack(">I4s", _IHDR_BYTES, b"IHDR") or not _is_intact(first):
        msg = "the png file does not start with an intact header; send the whole file"
        raise BrokenImageError(msg)
    width, height = struct.unpack_from(">II", first, 8)
    exif, is_keyed = _hints(body, all_chunks)
    # 16-bit RGB with a transparent colour is decoded twice, and compared
    work = KEYED_COST if is_keyed and (first[16], first[17]) == _DEEP_RGB else 1.0
    return Header("png", height, width, exif, work=work)


def chunks(body: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each complete chunk, its length and checksum included."""
    start = _SIGNATURE_BYTES
    for _ in range(MAX_CHUNKS):
        if start + _FRAME_BYTES > len(body):
            return
        end = start + _FRAME_BYTES + int.from_bytes(body[start : start + 4], "big")
        if end > len(body):
            return
        yield start, end
        start = end
    msg = f"the png file has more than {MAX_CHUNKS} chunks; save the image again"
    raise ImageTooCostlyError(msg)


def pixels_only(body: bytes | bytearray) -> tuple[bytes, list[memoryview]]:
    """Return the PNG without the chunks that pixels do not need, and its packed pixels.

    The chunks of pixels become one. A transparency that is damaged counts as absent, as browsers
    have it.
    """
    before, packed = [bytes(body[:_SIGNATURE_BYTES])], []
    colour = body[_COLOUR_AT]
    view = memoryview(body)
    for start, end in chunks(body):
        kind = bytes(body[start + 4 : start + 8])
        if kind == b"IDAT":
            packed.append(view[start + 8 : end - 4])
        elif not packed and (
            kind in (b"IHDR", b"PLTE")
            or (kind == b"tRNS" and _is_valid_transparency(body[start:end], colour))
        ):
            before.append(bytes(body[start:end]))
    pixels = b"".join(packed)
    # the checksum of pixels is their Adler-32; the chunk's is not checked
    idat = (struct.pack(">I4s", len(pixels), b"IDAT"), pixels, bytes(4))
    return b"".join((*before, *idat, _chunk(b"IEND"))), packed


def _chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _is_intact(chunk: bytes) -> bool:
    return zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")


def _is_valid_transparency(transparency: bytes | bytearray, colour: int) -> bool:
    """Check whether a tRNS chunk is intact and has the length that it needs."""
    allowed = _TRANSPARENCY_BYTES.get(colour, range(0))
    return len(transparency) - _FRAME_BYTES in allowed and _is_intact(bytes(transparency))


def _hints(body: bytes | bytearray, spans: Iterator[tuple[int, int]]) -> tuple[int, bool]:
    """Return the orientation that EXIF or XMP ask for, and whether there is a transparency.

    Of two of a kind the later counts, as in Pillow, and only that one is inflated.
    """
    last: dict[bytes, tuple[bytes, int, int]] = {}
    is_keyed = False
    for start, end in spans:
        kind = bytes(body[start + 4 : start + 8])
        is_keyed |= kind == b"tRNS"
        if kind == b"eXIf":
            last[kind] = (kind, start + 8, end - 4)
        elif kind in _TEXTS:
            key = bytes(body[start + 8 : min(end, start + 8 + _MAX_KEY_BYTES)]).partition(b"\0")[0]
            if key in (_XMP, _HEX_EXIF):
                last[key] = (kind, start + 8, end - 4)
    texts = {
        key: data if kind == b"eXIf" else _text(kind, data)
        for key, (kind, start, end) in last.items()
        for data in (bytes(body[start:end]),)
    }
    exif = texts.get(b"eXIf") or _from_hex(texts.get(_HEX_EXIF, b""))
    return orientation_in(exif, texts.get(_XMP, b"")), is_keyed


def _text(kind: bytes, data: bytes) -> bytes:
    """Return a text chunk's value, inflated up to MAX_XMP_BYTES."""
    value = data.partition(b"\0")[2]
    packed = kind == b"zTXt" or (kind == b"iTXt" and value[:1] == b"\1")
    if kind == b"zTXt":
        value = value[1:]  # the method
    elif kind == b"iTXt":
        value = value[2:].partition(b"\0")[2].partition(b"\0")[2]  # language, translated key
    if not packed:
        return value
    try:
        return zlib.decompressobj().decompress(value, MAX_XMP_BYTES)
    except zlib.error:
        return b""


def _from_hex(profile: bytes) -> bytes:
    """Return the EXIF that ImageMagick wrote: three lines of head, then hexadecimal digits."""
    digits = profile[:_MAX_HEX_BYTES].split(b"\n", _HEX_HEAD_LINES)[_HEX_HEAD_LINES:]
    try:
        return bytes.fromhex(b"".join(digits).decode("ascii"))  # which skips line breaks
    except ValueError:
        return b""
