"""The header of a WebP, from its RIFF chunks; the pixels come from `handlers.shared.photo.pillow`.

Pillow's reader allocates the full canvas, twice, on opening: too much for reading the size.
Layout: https://developers.google.com/speed/webp/docs/riff_container
"""

from collections.abc import Iterator

from handlers.shared.errors import BrokenImageError, ImageTooCostlyError
from handlers.shared.photo.exif import orientation_in
from handlers.shared.photo.header import Header

MAX_CHUNKS = 65_536

_RIFF_BYTES = 12
_CHUNK_HEADER_BYTES = 8
_HAS_XMP, _HAS_EXIF = 0x04, 0x08
_METADATA = {b"EXIF": ("exif", _HAS_EXIF), b"XMP ": ("xmp", _HAS_XMP)}


def read_header(body: bytes | bytearray) -> Header:
    """Return the header of a WebP; raises BrokenImageError when it is cut or malformed."""
    kind, start, _ = next(_chunks(body), (b"", 0, 0))
    size = _size(kind, bytes(body[start : start + 10]))
    if size is None:
        msg = "the webp file does not start with an intact header; send the whole file"
        raise BrokenImageError(msg)
    flags = body[start] if kind == b"VP8X" else 0
    exif = 1
    if flags & (_HAS_EXIF | _HAS_XMP):
        exif = orientation_in(**_metadata(body, flags))
    return Header("webp", *size, exif)


def _chunks(body: bytes | bytearray) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, start, end) of each chunk's payload; the last may be cut."""
    start = _RIFF_BYTES
    for _ in range(MAX_CHUNKS):
        payload = start + _CHUNK_HEADER_BYTES
        if payload > len(body):
            return
        end = payload + int.from_bytes(body[start + 4 : payload], "little")
        yield bytes(body[start : start + 4]), payload, end
        start = end + end % 2  # chunks are padded to even sizes
    msg = f"the webp file has more than {MAX_CHUNKS} chunks; save the image again"
    raise ImageTooCostlyError(msg)


def _size(kind: bytes, payload: bytes) -> tuple[int, int] | None:
    """Return (height, width) from the first ten bytes of the first chunk."""
    bits = int.from_bytes(payload, "little")
    match kind, [*payload]:  # as a list: bytes match no sequence pattern
        case b"VP8X", [_, _, _, _, _, _, _, _, _, _]:
            return (bits >> 56 & 0xFFFFFF) + 1, (bits >> 32 & 0xFFFFFF) + 1
        case b"VP8L", [0x2F, _, _, _, _, *_]:
            return (bits >> 22 & 0x3FFF) + 1, (bits >> 8 & 0x3FFF) + 1
        case b"VP8 ", [_, _, _, 0x9D, 0x01, 0x2A, _, _, _, _]:
            return bits >> 64 & 0x3FFF, bits >> 48 & 0x3FFF
    return None


def _metadata(body: bytes | bytearray, flags: int) -> dict[str, bytes]:
    """Return the EXIF and XMP blocks that the flags announce; others are skipped."""
    blocks = {"exif": b""}
    for kind, start, end in _chunks(body):
        name, flag = _METADATA.get(kind, ("", 0))
        if flags & flag and not blocks.get(name):
            blocks[name] = bytes(body[start:end])
    return blocks
