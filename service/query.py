"""What a request asks for: the query string (and `Accept`) in, checked options out."""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from service.errors import InvalidOptionError, NotAcceptableError
from service.render import Output

# what an Accept header chooses where the query does not; the first of equals wins
MEDIA_OUTPUTS = {
    "image/png": Output.mask,
    "image/jpeg": Output.overlay,
    "application/geo+json": Output.polygons,
    "application/json": Output.rle,
}
ANY_MEDIA_RANGES = ("*/*", "image/*", "application/*")


class SegmentQuery(BaseModel):
    """The options of `/v1/segment`; an unknown one is an error, not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: Output | None = Field(
        None, description="What to answer with; `mask` unless the `Accept` header says otherwise."
    )
    classes: str | None = Field(
        None,
        max_length=4096,
        description="Names or ids, separated by commas; all other classes become background.",
        examples=["cat,person"],
    )
    min_area: int = Field(
        0,
        ge=0,
        le=1_000_000_000,
        description="Regions (4-connected) of fewer pixels become background.",
    )
    alpha: float = Field(0.5, ge=0, le=1, description="Opacity of the colours in an `overlay`.")
    orientation: Literal["exif", "stored"] = Field(
        "exif", description="Whether the photo is turned as its EXIF data says."
    )
    max_side: int | None = Field(
        None,
        ge=32,
        le=16384,
        description="Longest side, in pixels, at which the network sees the photo; "
        "the mask has the photo's own size all the same. The model's card has default and limit.",
    )
    timeout_ms: int | None = Field(
        None, ge=1, description="Deadline in milliseconds, counted from the request's arrival."
    )
    model: str | None = Field(
        None, max_length=64, description="Name of the model; the server's default unless given."
    )


SegmentOptions = Annotated[SegmentQuery, Query()]


def negotiate(query_output: Output | None, accept: str | None) -> tuple[Output, bool]:
    """Choose the output, and whether an overlay may be JPEG; the query outranks `Accept`.

    Raises NotAcceptableError where the header alone would have to choose and cannot.
    """
    ranges = accepted_ranges(accept)
    wants_jpeg = preferred_first(ranges, "image/jpeg", "image/png")
    if query_output is not None:
        return query_output, wants_jpeg
    for media_range in ranges:
        if media_range in ANY_MEDIA_RANGES:
            return Output.mask, wants_jpeg
        if media_range in MEDIA_OUTPUTS:
            return MEDIA_OUTPUTS[media_range], wants_jpeg
    raise NotAcceptableError(
        f"Accept allows none of {', '.join(MEDIA_OUTPUTS)}; leave it out, or choose with output="
    )


def accepted_ranges(accept: str | None) -> list[str]:
    """List the media ranges of an Accept header, best quality first (RFC 9110, section 12.5.1)."""
    if not accept or not accept.strip():
        return ["*/*"]
    weighted = []
    for part in accept.split(","):
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = quality_of(parameters)
        if quality > 0:
            weighted.append((quality, media_range))
    return [media_range for _, media_range in sorted(weighted, key=lambda pair: -pair[0])]


def quality_of(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def preferred_first(ranges: Sequence[str], wanted: str, other: str) -> bool:
    """Tell whether `wanted` is named, and before `other`."""
    return wanted in ranges and (other not in ranges or ranges.index(wanted) < ranges.index(other))


def class_ids(classes: str | None, class_names: Sequence[str]) -> frozenset[int] | None:
    """Resolve `classes=` against a model's names; raises InvalidOptionError for a stranger."""
    if classes is None:
        return None
    ids = set()
    for word in (part.strip() for part in classes.split(",")):
        if word in class_names:
            ids.add(class_names.index(word))
        elif word.isascii() and word.isdigit() and int(word) < len(class_names):
            ids.add(int(word))
        else:
            raise InvalidOptionError(
                f"classes: this model has no class {word[:40]!a}; it has "
                f"{', '.join(class_names)} (ids 0 to {len(class_names) - 1})"
            )
    return frozenset(ids)
