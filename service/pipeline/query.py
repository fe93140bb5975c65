"""The options of a request: the query string (and `Accept`) in, checked values out.

Most requests of a gateway have one of a few query strings and `Accept` headers, so what the last
ones mean is kept. Called by `service.api.routes`, `service.api.direct_routes`,
`service.pipeline.segment` and `service.pipeline.options`.
"""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Literal

from fastapi import Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import QueryParams

from service.errors import InvalidOptionError, NotAcceptableError
from service.pipeline.accept import accepted_ranges, prefers, quality_of
from service.render import Output

# of each kind kept: longer ones are parsed each time, so that clients cannot fill the memory
MAX_KEPT = 256
MAX_KEPT_LENGTH = 512

MediaOutputs = tuple[tuple[str, Output], ...]
# the output that an Accept header chooses where the query has none; of equal qualities the first
MEDIA_OUTPUTS: MediaOutputs = (
    ("image/png", Output.mask),
    ("image/jpeg", Output.overlay),
    ("application/geo+json", Output.polygons),
    ("application/json", Output.rle),
)
# a batch without a more specific choice has a mask in each part
BATCH_MEDIA_OUTPUTS: MediaOutputs = (*MEDIA_OUTPUTS, ("multipart/mixed", Output.mask))


class SegmentQuery(BaseModel):
    """The options of `/v1/segment` and its batch; an unknown one is an error, not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: Output | None = Field(
        None, description="What to answer with; `mask` unless the `Accept` header says otherwise."
    )
    classes: list[Annotated[str, Field(max_length=4096)]] | None = Field(
        None,
        max_length=256,
        description="Names or ids, separated by commas or each in a parameter of its own; all "
        "other classes become background (255 where the model has none). `summary`, `rle`, "
        "`polygons` and `overlay` then show exactly these; without it all but background, which "
        "`summary` counts too.",
        examples=[["cat", "person"]],
    )
    min_area: int = Field(
        0,
        ge=0,
        le=1_000_000_000,
        description="Regions (4-connected) of fewer pixels become background (255 where the model "
        "has none).",
    )
    alpha: float = Field(0.5, ge=0, le=1, description="Opacity of the colours in an `overlay`.")
    legend: bool = Field(
        False, description="Whether an `overlay` has its classes' names in the corner."
    )
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
        None,
        ge=1,
        description="Deadline in milliseconds, counted from the request's arrival; "
        "the server's own counts from the end of the body.",
    )
    model: str | None = Field(
        None, max_length=64, description="Name of the model; the server's first unless given."
    )


SegmentOptions = Annotated[SegmentQuery, Query()]
# options that may be given several times and add up; all others would leave a value unread
LISTS = frozenset({"classes"})


async def refuse_repeats(request: Request) -> None:
    """Raise InvalidOptionError for an option that is given twice."""
    check_each_once(request.query_params)


def check_each_once(parameters: QueryParams) -> None:
    """Raise InvalidOptionError for an option that is given twice."""
    given = Counter(name for name, _ in parameters.multi_items())
    for name in SegmentQuery.model_fields.keys() - LISTS:
        if given[name] > 1:
            seen = ", ".join(f"{value[:20]!a}" for value in parameters.getlist(name)[:3])
            raise InvalidOptionError(f"{name}: given {given[name]} times ({seen}); give it once")


def read_query(query_string: bytes) -> SegmentQuery:
    """Check a query string as FastAPI does for SegmentOptions, after `refuse_repeats`.

    Raises InvalidOptionError, and RequestValidationError as FastAPI.
    """
    read = _kept_query if len(query_string) <= MAX_KEPT_LENGTH else _read_query
    return read(query_string)


def _read_query(query_string: bytes) -> SegmentQuery:
    parameters = QueryParams(query_string)
    check_each_once(parameters)
    values = {
        name: parameters.getlist(name) if name in LISTS else parameters[name] for name in parameters
    }
    try:
        return SegmentQuery.model_validate(values)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error


_kept_query = lru_cache(MAX_KEPT)(_read_query)


def negotiate(
    query_output: Output | None,
    accept: str | None,
    media_outputs: MediaOutputs = MEDIA_OUTPUTS,
) -> tuple[Output, bool]:
    """Choose the output, and whether an overlay is a JPEG; the query outranks `Accept`.

    Raises NotAcceptableError where the query has no output and the header allows none.
    """
    header = accept or ""
    choose = _kept_choice if len(header) <= MAX_KEPT_LENGTH else _choose
    return choose(query_output, header, media_outputs)


def _choose(
    query_output: Output | None, accept: str, media_outputs: MediaOutputs
) -> tuple[Output, bool]:
    ranges = accepted_ranges(accept)
    jpeg = prefers(ranges, "image/jpeg", "image/png")
    if query_output is not None:
        return query_output, jpeg
    qualities = {each: quality_of(each[0], ranges) for each in media_outputs}
    best = max(qualities, key=qualities.__getitem__)
    if not qualities[best] > 0:
        raise NotAcceptableError(
            f"Accept is {accept[:80]!a}, which allows none of "
            f"{', '.join(media_type for media_type, _ in media_outputs)}; "
            "leave it out, or choose with output="
        )
    return best[1], jpeg


_kept_choice = lru_cache(MAX_KEPT)(_choose)


def class_ids(classes: Sequence[str] | None, class_names: Sequence[str]) -> frozenset[int] | None:
    """Resolve `classes=`, each value a comma-separated list, against a model's class names; raises
    InvalidOptionError for an unknown one.
    """
    if classes is None:
        return None
    ids = set()
    for name in (part.strip() for each in classes for part in each.split(",")):
        if name in class_names:
            ids.add(class_names.index(name))
        elif name.isascii() and name.isdigit() and int(name) < len(class_names):
            ids.add(int(name))
        else:
            raise InvalidOptionError(
                f"classes: this model has no class {name[:40]!a}; it has "
                f"{', '.join(class_names)} (ids 0 to {len(class_names) - 1})"
            )
    return frozenset(ids)
