"""A JPEG's segments (ITU-T T.81, annex B), walked without decoding.

The walk skips stray bytes as libjpeg does, at the speed of a search, and its length is bounded:
Pillow's reader works byte by byte in Python, seconds for a body of stray bytes only. Called by
`handlers.shared.photo.jpeg.reader`.
"""

import re
import struct
from typing import NamedTuple

from handlers.shared.errors import BrokenImageError, ImageTooCostlyError
from handlers.shared.photo.exif import MAX_EXIF_BYTES

MAX_SEGMENTS = 1024
"""Before the pixels; 5 ms. A thermal camera's file of 10 MB in its APP segments has 160."""
MAX_STRAY_BYTES = 65_536
"""Before the pixels, all together: 20 MB of fill bytes would take 0.4 s."""

_MARKER = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)
_BARE = frozenset({0x01, *range(0xD0, 0xDA)})  # markers that no length follows
_LENGTH_BYTES = 2
_FRAME = struct.Struct(">BHHB")  # precision, height, width, components
SEQUENTIAL = frozenset({0xC0, 0xC1, 0xC9})
LOSSLESS = 0xC3
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}  # JPEG-LS's is the last
_END, _SCAN, _APP1, _COMMENT = 0xD9, 0xDA, 0xE1, 0xFE
# of the APP segments only JFIF's and Adobe's define how the pixels are coded
_ONLY_METADATA = frozenset({*range(0xE1, 0xF0), _COMMENT}) - {0xEE}
_SPECTRAL_BYTES, _ALL_COEFFICIENTS = 3, b"\0\x3f\0"
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"


class Segment(NamedTuple):
    """`body[start:end]`, of which `body[data:end]` follows marker and length."""

    marker: int
    start: int
    data: int
    end: int


Fields = tuple[int, int, int, int]
"""A segment's fields, in their order: a plain tuple takes a fifth of the time to make."""


class Layout(NamedTuple):
    """The segments before the pixels, and their contents."""

    height: int
    width: int
    components: int
    exif: bytes
    xmp: bytes
    frame: Segment
    segments: list[Fields]
    scan: Segment | None

    def has_several_scans(self, body: bytes | bytearray) -> bool:
        """Check whether libjpeg looks for more than one scan: progressive, or by component."""
        if self.scan is None or self.frame.marker not in SEQUENTIAL:
            return True
        return body[self.scan.data : self.scan.data + 1] != bytes((self.components,))


def read_layout(body: bytes | bytearray) -> Layout:
    """Walk to the first scan; raises BrokenImageError when no frame header comes before it."""
    segments = _segments(body)
    frame = _frame_header(segments)
    _, height, width, components = _FRAME.unpack_from(body, frame.data)
    scan = Segment(*segments[-1]) if segments[-1][0] == _SCAN else None
    exif, xmp = _joined(body, segments)
    return Layout(height, width, components, exif, xmp, frame, segments, scan)


def without_stray_bytes(body: bytes | bytearray, layout: Layout, end: int) -> bytes:
    """Return the JPEG up to `end` without metadata or anything between its segments.

    A sequential scan's spectral selection has one right value, and phones write others.
    """
    if layout.scan is None:
        return b""
    tables = b"".join(
        bytes(body[start:end])
        for marker, start, _, end in layout.segments[:-1]
        if marker not in _ONLY_METADATA
    )
    header = bytes(body[layout.scan.start : layout.scan.end])
    if layout.frame.marker in SEQUENTIAL:
        header = header[:-_SPECTRAL_BYTES] + _ALL_COEFFICIENTS
    return b"\xff\xd8" + tables + header + bytes(body[layout.scan.end : end])


def _segments(body: bytes | bytearray) -> list[Fields]:
    """List the complete segments up to and including the first scan's header.

    Gateway and worker do this for each photo, so it is one loop that calls little.
    """
    segments: list[Fields] = []
    last = len(body) - _LENGTH_BYTES
    at, stray_bytes = 2, 0
    while len(segments) < MAX_SEGMENTS:
        match = _MARKER.search(body, at, at + 2 + MAX_STRAY_BYTES - stray_bytes)
        if match is None:
            return segments
        start, data = match.span()
        marker, end = body[data - 1], data
        if marker == _END:
            return segments
        if marker not in _BARE:
            length = body[data] << 8 | body[data + 1] if data <= last else 0
            data, end = data + _LENGTH_BYTES, data + length
            if length < _LENGTH_BYTES or end > len(body):
                return segments
        segments.append((marker, start, data, end))
        if marker == _SCAN:
            return segments
        stray_bytes += start - at
        at = end
    msg = f"the jpeg file has more than {MAX_SEGMENTS} segments; save the image again"
    raise ImageTooCostlyError(msg)


def _frame_header(segments: list[Fields]) -> Segment:
    for marker, start, data, end in segments:
        if marker in _FRAMES and end - data >= _FRAME.size:
            return Segment(marker, start, data, end)
    msg = "the jpeg file has no frame header before its data; send the whole file"
    raise BrokenImageError(msg)


def _joined(body: bytes | bytearray, segments: list[Fields]) -> tuple[bytes, bytes]:
    """Return the EXIF and XMP blocks as Pillow does: EXIF parts joined, the last XMP."""
    exif, xmp = bytearray(), slice(0)
    for marker, _, data, end in segments:
        if marker != _APP1:
            continue
        if body.startswith(_EXIF, data) and len(exif) < MAX_EXIF_BYTES:
            exif += body[data + len(_EXIF) : end]
        elif body.startswith(_XMP, data):
            xmp = slice(data + len(_XMP), end)
    return bytes(exif), bytes(body[xmp])
