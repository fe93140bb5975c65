"""A JPEG's segments (ITU-T T.81, annex B), walked without decoding.

The walk skips stray bytes as libjpeg does, at the speed of a search, and its length is bounded:
Pillow's reader works byte by byte in Python, seconds for a body of stray bytes only. Called by
`handlers.shared.photo.jpeg.reader`.
"""

import re
from collections.abc import Iterator
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
_FRAME_BYTES = 6  # precision, height, width, components
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


class Layout(NamedTuple):
    """The segments before the pixels, and their contents."""

    height: int
    width: int
    components: int
    exif: bytes
    xmp: bytes
    frame: Segment
    segments: list[Segment]
    scan: Segment | None

    def has_several_scans(self, body: bytes | bytearray) -> bool:
        """Check whether libjpeg looks for more than one scan: progressive, or by component."""
        if self.scan is None or self.frame.marker not in SEQUENTIAL:
            return True
        return body[self.scan.data : self.scan.data + 1] != bytes((self.components,))


def read_layout(body: bytes | bytearray) -> Layout:
    """Walk to the first scan; raises BrokenImageError when no frame header comes before it."""
    segments = list(_segments(body))
    frame = next((s for s in segments if _is_frame_header(s)), None)
    if frame is None:
        msg = "the jpeg file has no frame header before its data; send the whole file"
        raise BrokenImageError(msg)
    height = int.from_bytes(body[frame.data + 1 : frame.data + 3], "big")
    width = int.from_bytes(body[frame.data + 3 : frame.data + 5], "big")
    scan = segments[-1] if segments[-1].marker == _SCAN else None
    components = body[frame.data + 5]
    exif, xmp = _joined(body, segments)
    return Layout(height, width, components, exif, xmp, frame, segments, scan)


def without_stray_bytes(body: bytes | bytearray, layout: Layout, end: int) -> bytes:
    """Return the JPEG up to `end` without metadata or anything between its segments.

    A sequential scan's spectral selection has one right value, and phones write others.
    """
    if layout.scan is None:
        return b""
    coding = [s for s in layout.segments[:-1] if s.marker not in _ONLY_METADATA]
    tables = b"".join(bytes(body[s.start : s.end]) for s in coding)
    header = bytes(body[layout.scan.start : layout.scan.end])
    if layout.frame.marker in SEQUENTIAL:
        header = header[:-_SPECTRAL_BYTES] + _ALL_COEFFICIENTS
    return b"\xff\xd8" + tables + header + bytes(body[layout.scan.end : end])


def _segments(body: bytes | bytearray) -> Iterator[Segment]:
    """Yield the complete segments up to and including the first scan's header."""
    at, stray_bytes = 2, 0
    for _ in range(MAX_SEGMENTS):
        last = min(len(body), at + 2 + MAX_STRAY_BYTES - stray_bytes)
        segment = _next_segment(body, _MARKER.search(body, at, last))
        if segment is None or segment.marker == _END:
            return
        yield segment
        stray_bytes += segment.start - at
        if segment.marker == _SCAN:
            return
        at = segment.end
    msg = f"the jpeg file has more than {MAX_SEGMENTS} segments; save the image again"
    raise ImageTooCostlyError(msg)


def _next_segment(body: bytes | bytearray, match: re.Match[bytes] | None) -> Segment | None:
    if match is None:
        return None
    marker, data = body[match.end() - 1], match.end()
    if marker in _BARE:
        return Segment(marker, match.start(), data, data)
    length = int.from_bytes(body[data : data + _LENGTH_BYTES], "big")
    if length < _LENGTH_BYTES or data + length > len(body):
        return None
    return Segment(marker, match.start(), data + _LENGTH_BYTES, data + length)


def _is_frame_header(segment: Segment) -> bool:
    return segment.marker in _FRAMES and segment.end - segment.data >= _FRAME_BYTES


def _joined(body: bytes | bytearray, segments: list[Segment]) -> tuple[bytes, bytes]:
    """Return the EXIF and XMP blocks as Pillow does: EXIF parts joined, the last XMP."""
    exif, xmp = bytearray(), None
    for segment in segments:
        if segment.marker != _APP1:
            continue
        if body.startswith(_EXIF, segment.data) and len(exif) < MAX_EXIF_BYTES:
            exif += body[segment.data + len(_EXIF) : segment.end]
        elif body.startswith(_XMP, segment.data):
            xmp = segment
    if xmp is None:
        return bytes(exif), b""
    return bytes(exif), bytes(body[xmp.data + len(_XMP) : xmp.end])
