"""The `Accept` header: the quality of each media type (RFC 9110, section 12.5.1).

A header's value goes in, qualities from 0 to 1 come out. Called by `service.pipeline.query`.

Why not a library: webob 1.8.11 ignores the whole header for one malformed element, where here only
that element is ignored; webob and werkzeug 3.1.9 match no `application/json` for a client that
sends `application/json; charset=utf-8`; both take a second or more of the event loop for a header
of 200 kB.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

# a list's elements, and an element's parameters: a quoted string may hold commas and semicolons
# (one without a closing quote extends to the header's end, so that one pass finds all)
QUOTED = r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)'
ELEMENT = re.compile(rf'(?:{QUOTED}|[^,"])+')
PIECE = re.compile(rf'(?:{QUOTED}|[^;"])+')
MAX_ELEMENTS = 100
NAME = r"[!#$%&'*+.^_`|~0-9a-z-]+"
MEDIA_RANGE = re.compile(rf"({NAME})/({NAME})")
QUALITY = re.compile(r"0?\.[0-9]+|0(\.[0-9]*)?|1(\.0*)?")
# parameters that the media types of our outputs have, written or implied
OUTPUT_PARAMETERS: Mapping[str, frozenset[str]] = {
    "application/json": frozenset({"charset=utf-8"}),
    "application/geo+json": frozenset({"charset=utf-8"}),
}


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One element: type and subtype, either of which may be `*`, its parameters and quality."""

    kind: str
    subtype: str
    parameters: frozenset[str]
    quality: float

    def matches(self, media_type: str) -> bool:
        kind, _, subtype = media_type.partition("/")
        return (
            self.kind in {"*", kind}
            and self.subtype in {"*", subtype}
            and self.parameters <= OUTPUT_PARAMETERS.get(media_type, frozenset())
        )

    @property
    def specificity(self) -> tuple[bool, bool, int]:
        """A sort key; the more specific range has the larger one."""
        return self.kind != "*", self.subtype != "*", len(self.parameters)


def accepted_ranges(accept: str | None) -> list[MediaRange]:
    """Read the header's first elements; malformed ones are ignored. Without a header every media
    type is accepted.
    """
    if not accept or not accept.strip():
        return [MediaRange("*", "*", frozenset(), 1.0)]
    elements = (match[0] for match in islice(ELEMENT.finditer(accept), MAX_ELEMENTS))
    return [found for element in elements if (found := media_range(element))]


def media_range(element: str) -> MediaRange | None:
    """Read one element; None where it is no media range with a quality from 0 to 1."""
    name, *pieces = (piece.strip().lower() for piece in PIECE.findall(element) or [""])
    found = MEDIA_RANGE.fullmatch("*/*" if name == "*" else name)  # Java sends a single *
    if not found or (found[1] == "*" and found[2] != "*"):
        return None
    parameters = [tuple(part.strip() for part in piece.split("=", 1)) for piece in pieces if piece]
    quality = next((value for key, *value in parameters if key == "q"), ["1"])
    if len(quality) != 1 or not QUALITY.fullmatch(quality[0]):
        return None
    others = frozenset("=".join(each).replace('"', "") for each in parameters if each[0] != "q")
    return MediaRange(found[1], found[2], others, float(quality[0]))


def quality_of(media_type: str, ranges: Sequence[MediaRange]) -> float:
    """Return the quality of the most specific range that matches; 0 where none does.

    Of equally specific ranges the one with the higher quality counts.
    """
    matching = [each for each in ranges if each.matches(media_type)]
    best = max(matching, key=lambda each: (each.specificity, each.quality), default=None)
    return best.quality if best else 0.0


def prefers(ranges: Sequence[MediaRange], preferred: str, other: str) -> bool:
    """Return whether `preferred` has a higher quality than `other`, or the same and is named
    first.
    """
    qualities = quality_of(preferred, ranges), quality_of(other, ranges)
    if qualities[0] != qualities[1]:
        return qualities[0] > qualities[1]
    names = [f"{each.kind}/{each.subtype}" for each in ranges]
    named = [name for name in names if name in {preferred, other}]
    return qualities[0] > 0 and named[:1] == [preferred]
