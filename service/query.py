"""What a request asks for: the query string (and `Accept`) in, checked options out."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from service.errors import InvalidOptionError, NotAcceptableError
from service.render import Output

# what an Accept header chooses where the query does not; of equally welcome ones the first is had
MEDIA_OUTPUTS = {
    "image/png": Output.mask,
    "image/jpeg": Output.overlay,
    "application/geo+json": Output.polygons,
    "application/json": Output.rle,
}
# a batch's parts, unless more is said, are what a single mask is
BATCH_MEDIA_OUTPUTS = MEDIA_OUTPUTS | {"multipart/mixed": Output.mask}


class SegmentQuery(BaseModel):
    """The options of `/v1/segment` and its batch; an unknown one is an error, not ignored."""

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
        None, max_length=64, description="Name of the model; the server's first unless given."
    )


SegmentOptions = Annotated[SegmentQuery, Query()]


def negotiate(
    query_output: Output | None,
    accept: str | None,
    media_outputs: Mapping[str, Output] = MEDIA_OUTPUTS,
) -> tuple[Output, bool]:
    """Choose the output, and whether an overlay may be JPEG; the query outranks `Accept`.

    Raises NotAcceptableError where the header alone would have to choose and cannot.
    """
    ranges = accepted_ranges(accept)
    wants_jpeg = preferred_first(ranges, "image/jpeg", "image/png")
    if query_output is not None:
        return query_output, wants_jpeg
    welcome = {media_type: welcome_of(media_type, ranges) for media_type in media_outputs}
    best = max(welcome, key=welcome.__getitem__)
    if not welcome[best] > 0:
        raise NotAcceptableError(
            f"Accept is {str(accept)[:80]!a}, which allows none of {', '.join(media_outputs)}; "
            "leave it out, or choose with output="
        )
    return media_outputs[best], wants_jpeg


def accepted_ranges(accept: str | None) -> dict[str, float]:
    """Map the media ranges of an Accept header to their quality (RFC 9110, section 12.5.1)."""
    if not accept or not accept.strip():
        return {"*/*": 1.0}
    ranges = {}
    for part in accept.split(","):
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        ranges[media_range] = quality_of(parameters)
    return ranges


def welcome_of(media_type: str, ranges: Mapping[str, float]) -> float:
    """Look up the quality of the most specific range that has this type; 0 where none has."""
    kind = media_type.partition("/")[0]
    for media_range in (media_type, f"{kind}/*", "*/*"):
        if media_range in ranges:
            return ranges[media_range]
    return 0.0


def quality_of(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 0.0
            return quality if 0 <= quality <= 1 else 0.0
    return 1.0


def preferred_first(ranges: Mapping[str, float], wanted: str, other: str) -> bool:
    """Tell whether `wanted` is named, and `other` is not or comes after it."""
    named = [name for name in ranges if name in {wanted, other} and ranges[name] > 0]
    return bool(named) and max(named, key=ranges.__getitem__) == wanted


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
