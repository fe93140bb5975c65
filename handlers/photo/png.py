"""The header of a PNG: size and orientation, in time that the file cannot stretch.

Pillow's reader would do, were it not for two things. It looks for EXIF behind the pixels by
decoding them, and it unpacks up to 64 MB of text on opening. So the chunks are walked here, and
Pillow sees an image without pixels that holds only what can say an orientation.
"""

import io
import struct
import zlib
from collections.abc import Iterator

from PIL.PngImagePlugin import PngImageFile

from handlers.errors import BrokenImageError
from handlers.photo.exif import UPRIGHT, orientation_of
from handlers.photo.foreign import DECODER_ERRORS
from handlers.photo.header import Header

MAX_CHUNKS = 65_536
"""A writer that makes 8 KB chunks reaches 512 MB; a walk this long takes 50 ms."""

_SIGNATURE_BYTES = 8
_FRAME_BYTES = 12  # length, kind and checksum around a chunk's data
_IHDR_BYTES = 13
_TEXT_KINDS = (b"tEXt", b"zTXt", b"iTXt")
_ORIENTATION_KEYS = (b"XML:com.adobe.xmp", b"Raw profile type exif", b"exif", b"xmp")
_NO_PIXELS = b"\0\0\0\0IDAT\x35\xaf\x06\x1e"


def read_header(body: bytes | bytearray) -> Header:
    """Return the header of a PNG; raises BrokenImageError when the size cannot be trusted."""
    all_chunks = chunks(body)
    start, end = next(all_chunks, (0, 0))
    first = bytes(body[start:end])
    if first[:8] != struct.pack(">I4s", _IHDR_BYTES, b"IHDR") or not _is_intact(first):
        msg = "the png file does not start with an intact header; send the whole file"
        raise BrokenImageError(msg)
    width, height = struct.unpack_from(">II", first, 8)
    hints = _orientation_chunks(body, all_chunks)
    exif = _orientation(bytes(body[:end]) + b"".join(hints)) if hints else UPRIGHT
    return Header("png", height, width, exif)


def chunks(body: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each whole chunk, its length and checksum included."""
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
    raise BrokenImageError(msg)


def _is_intact(chunk: bytes) -> bool:
    return zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")


def _orientation_chunks(body: bytes | bytearray, spans: Iterator[tuple[int, int]]) -> list[bytes]:
    """Return the chunks that can say an orientation; of two of a kind the later, as Pillow does."""
    found: dict[bytes, bytes] = {}
    for start, end in spans:
        kind = bytes(body[start + 4 : start + 8])
        if kind == b"eXIf":
            found[kind] = bytes(body[start:end])
        elif kind in _TEXT_KINDS:
            key = bytes(body[start + 8 : min(end, start + 8 + 80)]).partition(b"\0")[0]
            if key in _ORIENTATION_KEYS:
                found[key] = bytes(body[start:end])
    return list(found.values())


def _orientation(png: bytes) -> int:
    try:
        return orientation_of(PngImageFile(io.BytesIO(png + _NO_PIXELS)))
    except DECODER_ERRORS:
        return UPRIGHT
