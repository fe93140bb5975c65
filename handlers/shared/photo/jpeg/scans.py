"""The scans of a JPEG (ITU-T T.81, annex B.2), layout by their markers without decoding.

numpy searches the full body, a few milliseconds for 20 MB; then only relevant markers are visited,
and their number is bounded. Called by `handlers.shared.photo.jpeg.reader`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handlers.shared.photo.jpeg.segments import SEQUENTIAL, Layout

MAX_VISITS = 4096
"""Segments between and in the scans; writers make about 20."""

_RESTART_INTERVAL, _SCAN, _END, _TEMPORARY = 0xDD, 0xDA, 0xD9, 0x01
_COEFFICIENTS = 64
_BLOCK = 8  # pixels a side


@dataclass(frozen=True, slots=True)
class Component:
    """One of a frame's components: its identifier and its sampling factors."""

    number: int
    vertical: int
    horizontal: int


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan's header; `restarts` are the last digits of its restart markers."""

    components: tuple[int, ...]
    first: int  # coefficient
    last: int
    low_bit: int
    interval: int
    restarts: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Scans:
    """All scans; `end` is where the image ends, behind its end marker if `ended`."""

    scans: list[Scan]
    end: int
    ended: bool


def find_scans(body: bytes | bytearray, layout: Layout, most: int) -> Scans:
    """Walk over the scans, `most` of them at most."""
    walk = _Walk(body, layout)
    scans = []
    for scan in walk:
        scans.append(scan)
        if len(scans) >= most:
            break
    return Scans(scans, walk.end, walk.ended)


def components_of(body: bytes | bytearray, layout: Layout) -> dict[int, Component]:
    """Return the components of the frame header by their identifiers."""
    triples = bytes(body[layout.frame.data + 6 : layout.frame.end])
    return {
        number: Component(number, max(1, factors & 15), max(1, factors >> 4))
        for number, factors in zip(triples[::3], triples[1::3], strict=False)
    }


def restarts_are_right(body: bytes | bytearray, layout: Layout, scans: Scans) -> bool:
    """Check whether each scan has all restart markers of its intervals, in their order.

    One that is lost shifts all that follows by an interval, and a decoder only warns.
    """
    components = components_of(body, layout)
    for scan in scans.scans:
        units = _units(scan, layout, components)
        if not scan.interval or not units:
            continue
        expected = -(-units // scan.interval) - 1
        order = np.arange(len(scan.restarts)) % 8
        # some writers end the last interval with a marker, too
        if len(scan.restarts) - expected not in (0, 1) or not np.array_equal(scan.restarts, order):
            return False
    return True


def has_all_bits(body: bytes | bytearray, layout: Layout, scans: Scans) -> bool:
    """Check whether the scans have every coefficient of every component, to its last bit."""
    missing = {
        (number, index) for number in components_of(body, layout) for index in range(_COEFFICIENTS)
    }
    for scan in scans.scans:
        if not scan.low_bit:
            indices = range(scan.first, scan.last + 1)
            missing.difference_update((c, index) for c in scan.components for index in indices)
    return not missing


def _units(scan: Scan, layout: Layout, components: dict[int, Component]) -> int:
    """Count the MCUs of a scan (T.81, A.2): blocks of its one component, or groups of blocks; 0 of
    one that names no component, or one that is not there.
    """
    if not scan.components or not set(scan.components) <= set(components):
        return 0
    tallest = max(c.vertical for c in components.values())
    widest = max(c.horizontal for c in components.values())
    if len(scan.components) > 1:
        return -(-layout.height // (_BLOCK * tallest)) * -(-layout.width // (_BLOCK * widest))
    component = components[scan.components[0]]
    height = -(-layout.height * component.vertical // tallest)
    width = -(-layout.width * component.horizontal // widest)
    return -(-height // _BLOCK) * -(-width // _BLOCK)


class _Walk:
    """Iterates over scans; afterwards `end` and `ended` have how the walk ended."""

    def __init__(self, body: bytes | bytearray, layout: Layout) -> None:
        self.body, self.layout = body, layout
        self.end, self.ended = len(body), False
        self.is_simple = not layout.has_several_scans(body)
        start = layout.scan.end if layout.scan else len(body)
        self.markers, self.restarts = _markers(body, start)
        self.interval = 0
        for marker, _, data, _ in layout.segments:
            if marker == _RESTART_INTERVAL:
                self.interval = int.from_bytes(body[data : data + 2], "big")

    def __iter__(self) -> Iterator[Scan]:
        if self.layout.scan is None:
            return
        header, at = self.layout.scan.data, self.layout.scan.end
        for _ in range(MAX_VISITS):
            marker_at = self._next(at)
            if header:
                yield self._scan(header, at, marker_at)
            marker = self.body[marker_at + 1] if marker_at < len(self.body) else None
            self.end = marker_at
            if marker == _END:
                self.end, self.ended = marker_at + 2, True
            if marker is None or marker == _END or self.is_simple:
                return
            header, at = 0, self._behind(marker_at)
            if not at:
                return
            if marker == _SCAN:
                header = marker_at + 4

    def _next(self, at: int) -> int:
        index = int(np.searchsorted(self.markers, at))
        return int(self.markers[index]) if index < len(self.markers) else len(self.body)

    def _behind(self, marker_at: int) -> int:
        """Return where the segment ends; 0 if it is no segment, as in data after an image."""
        marker = self.body[marker_at + 1]
        if marker == _TEMPORARY:
            return marker_at + 2
        length = int.from_bytes(self.body[marker_at + 2 : marker_at + 4], "big")
        end = marker_at + 2 + length
        if marker < 0xC0 or length < 2 or end > len(self.body):  # noqa: PLR2004 - T.81, table B.1
            return 0
        if marker == _RESTART_INTERVAL:
            self.interval = int.from_bytes(self.body[marker_at + 4 : marker_at + 6], "big")
        is_scan = length == 6 + 2 * self.body[marker_at + 4]
        return end if marker != _SCAN or is_scan else 0

    def _scan(self, header: int, start: int, end: int) -> Scan:
        count = self.body[header]
        numbers = tuple(self.body[header + 1 : header + 1 + 2 * count : 2])
        first, last, bits = (*self.body[header + 1 + 2 * count : header + 4 + 2 * count], 0, 0, 0)[
            :3
        ]
        if self.layout.frame.marker in SEQUENTIAL:
            first, last, bits = 0, _COEFFICIENTS - 1, 0
        low, high = np.searchsorted(self.restarts, (start, end))
        digits = np.frombuffer(self.body, np.uint8)[self.restarts[low:high] + 1] - 0xD0
        return Scan(numbers, first, last, bits & 15, self.interval, digits)


def _markers(body: bytes | bytearray, start: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the positions of markers from `start` on, and those of restart markers."""
    data = np.frombuffer(body, np.uint8)[start:]
    at = np.flatnonzero(data[:-1] == 0xFF)  # noqa: PLR2004 - what every marker begins with
    kind = data[at + 1]
    is_restart = (kind & 0xF8) == 0xD0  # noqa: PLR2004 - D0 to D7
    is_marker = (kind != 0) & (kind != 0xFF) & ~is_restart  # noqa: PLR2004
    return at[is_marker] + start, at[is_restart] + start
