"""What a query string and an `Accept` header choose, and which of them are rejected."""

import time
from contextlib import suppress

import pytest
from pydantic import ValidationError

from service.errors import InvalidOptionError, NotAcceptableError
from service.pipeline.query import (
    BATCH_MEDIA_OUTPUTS,
    MAX_KEPT,
    MAX_KEPT_LENGTH,
    SegmentQuery,
    class_ids,
    negotiate,
    read_query,
)
from service.render import Output

CHROME = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,"
    "*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
)
FIREFOX_IMG = "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"
NAMES = ("background", "cat", "dog")


@pytest.mark.parametrize(
    ("accept", "output"),
    [
        pytest.param(None, Output.mask, id="absent"),
        pytest.param("", Output.mask, id="empty"),
        pytest.param(" ", Output.mask, id="blank"),
        pytest.param("*/*", Output.mask, id="anything"),
        pytest.param(CHROME, Output.mask, id="chrome-page"),
        pytest.param(FIREFOX_IMG, Output.mask, id="firefox-img"),
        pytest.param("application/json, text/plain, */*", Output.mask, id="axios"),
        pytest.param("image/png;q=0.1, image/*", Output.overlay, id="the-most-specific-decides"),
        pytest.param("image/*, image/png;q=0.1", Output.overlay, id="in-whatever-order"),
        pytest.param("*/*, image/*;q=0.1, image/png;q=0.9", Output.polygons, id="three-levels"),
        pytest.param("image/*;q=0, image/jpeg", Output.overlay, id="all-images-but-jpeg-excluded"),
        pytest.param("*/*;q=0, application/json", Output.rle, id="all-else-excluded"),
        pytest.param(
            'text/x;p="a,b;q=1", application/json', Output.rle, id="commas-and-semicolons-in-quotes"
        ),
        pytest.param(
            "application/json;version=2, image/png;q=0.1", Output.mask, id="foreign-parameter"
        ),
        pytest.param(
            "application/json;q=0, application/json;charset=utf-8", Output.rle, id="more-parameters"
        ),
        pytest.param('application/json; charset="UTF-8"', Output.rle, id="quoted-parameter"),
        pytest.param("*", Output.mask, id="single-star"),
        pytest.param("*/png, application/json;q=0.1", Output.rle, id="no-such-range"),
        pytest.param("image/png;q=1.5, application/json;q=0.1", Output.rle, id="above-1"),
        pytest.param("image/png;q, application/json;q=0.1", Output.rle, id="no-value"),
        pytest.param("image/png;q=1.000", Output.mask, id="three-decimals"),
        pytest.param(
            "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", Output.overlay, id="java"
        ),
        pytest.param("image/*", Output.mask, id="any-image"),
        pytest.param("application/*", Output.polygons, id="any-application-is-no-png"),
        pytest.param("image/png", Output.mask, id="png"),
        pytest.param("image/jpeg", Output.overlay, id="jpeg"),
        pytest.param("IMAGE/JPEG", Output.overlay, id="case"),
        pytest.param("application/json", Output.rle, id="json"),
        pytest.param("application/json; charset=utf-8", Output.rle, id="json-charset"),
        pytest.param("application/geo+json", Output.polygons, id="geojson"),
        pytest.param("application/json,*/*;q=0.1", Output.rle, id="json-before-anything"),
        pytest.param("image/png;q=0.4, application/json;q=0.6", Output.rle, id="quality"),
        pytest.param("application/json, image/png", Output.mask, id="equals-by-our-order"),
        pytest.param("image/png;q=0, image/*", Output.overlay, id="png-excluded"),
        pytest.param("*/*, image/*;q=0", Output.polygons, id="images-excluded"),
        pytest.param("image/png;q=nonsense, application/json", Output.rle, id="broken-quality"),
        pytest.param("image/png;q=nan, application/json", Output.rle, id="nan-quality"),
        pytest.param("image/png ; Q=0.1 , application/json ; q=0.2", Output.rle, id="spaces"),
        pytest.param(",,image/jpeg,,", Output.overlay, id="empty-elements"),
    ],
)
def test_accept_chooses_the_output(accept: str | None, output: Output) -> None:
    assert negotiate(None, accept)[0] is output


@pytest.mark.parametrize(
    "accept",
    [
        *("text/html", "image/webp", "*/*;q=0", "image/png;q=0", "application/jsonx", "image", ","),
        *("*/*;q=0, image/*;q=0", "application/json;version=2", "image/png;q=2", "*/png"),
        *("multipart/mixed", "image/png;q=0.0, image/jpeg;q=0", 'image/png"'),
    ],
)
def test_an_accept_that_allows_no_output_gets_the_list_of_outputs(accept: str) -> None:
    with pytest.raises(NotAcceptableError) as caught:
        negotiate(None, accept)
    assert accept in str(caught.value)
    for media_type in ("image/png", "image/jpeg", "application/json", "application/geo+json"):
        assert media_type in str(caught.value)


@pytest.mark.parametrize("output", Output)
def test_the_query_outranks_accept(output: Output) -> None:
    assert negotiate(output, "text/html")[0] is output


@pytest.mark.parametrize(
    ("accept", "jpeg"),
    [
        pytest.param(None, False, id="absent"),
        pytest.param("*/*", False, id="anything"),
        pytest.param("image/jpeg", True, id="jpeg"),
        pytest.param("image/jpeg, */*", True, id="jpeg-named"),
        pytest.param("image/jpeg, image/png", True, id="jpeg-first"),
        pytest.param("image/png, image/jpeg", False, id="png-first"),
        pytest.param("image/png;q=0.5, image/jpeg", True, id="quality"),
        pytest.param("image/jpeg;q=0, */*", False, id="jpeg-excluded"),
        pytest.param("image/png;q=0.1, image/*", True, id="png-less-accepted"),
        pytest.param("image/png;q=0, */*", True, id="png-excluded"),
        pytest.param("image/jpeg;q=0.1, image/*", False, id="jpeg-less-accepted"),
        pytest.param("image/*;q=0, image/jpeg;q=0.1", True, id="jpeg-alone"),
        pytest.param("*/*;q=0", False, id="neither"),
        pytest.param("image/*, image/jpeg", True, id="jpeg-named-beside-all"),
    ],
)
def test_an_overlay_is_a_jpeg_where_accept_prefers_it(accept: str | None, jpeg: bool) -> None:
    assert negotiate(Output.overlay, accept) == (Output.overlay, jpeg)


@pytest.mark.parametrize(
    ("accept", "output"),
    [
        pytest.param("multipart/mixed", Output.mask, id="multipart-mixed"),
        pytest.param("multipart/*", Output.mask, id="any-multipart"),
        pytest.param("multipart/mixed;q=0.5, application/json", Output.rle, id="quality"),
        pytest.param("multipart/mixed;q=0, image/jpeg", Output.overlay, id="excluded"),
    ],
)
def test_a_batch_may_be_requested_as_multipart_mixed(accept: str, output: Output) -> None:
    assert negotiate(None, accept, BATCH_MEDIA_OUTPUTS)[0] is output


@pytest.mark.parametrize(
    "accept",
    [
        *('"' + r"\"" * 16_000, ",a/b" * 8_000, '"' * 32_000, "a/b;q" * 6_000),
        "a/b;" + 'x="\\' * 8_000,
    ],
    ids=["escapes", "elements", "quotes", "parameters", "open-quotes"],
)
def test_a_header_of_32_kb_is_read_in_one_pass(accept: str) -> None:
    started = time.monotonic()
    with suppress(NotAcceptableError):
        negotiate(None, accept)
    assert time.monotonic() - started < 2  # backtracking at each character takes minutes


def test_a_query_string_is_parsed_once() -> None:
    assert read_query(b"alpha=0.125&classes=cat") is read_query(b"alpha=0.125&classes=cat")


def test_neither_many_nor_long_query_strings_fill_the_memory() -> None:
    longest = b"model=" + b"m" * 64 + b"&classes=" + b"c" * MAX_KEPT_LENGTH
    assert read_query(longest) == read_query(longest)
    assert read_query(longest) is not read_query(longest)
    first = read_query(b"min_area=0")
    for number in range(MAX_KEPT):
        read_query(b"min_area=%d" % (number + 1))
    assert read_query(b"min_area=0") == first
    assert read_query(b"min_area=0") is not first


@pytest.mark.parametrize(
    ("classes", "ids"),
    [
        pytest.param(None, None, id="absent"),
        pytest.param("cat", {1}, id="name"),
        pytest.param("2", {2}, id="id"),
        pytest.param(" cat , 0,dog,cat", {0, 1, 2}, id="mixed-and-repeated"),
        pytest.param("002", {2}, id="leading-zeros"),
    ],
)
def test_classes_are_names_or_ids(classes: str | None, ids: set[int] | None) -> None:
    assert class_ids(None if classes is None else [classes], NAMES) == ids


def test_several_lists_of_classes_add_up() -> None:
    assert class_ids(["cat,0", "dog"], NAMES) == frozenset({0, 1, 2})


@pytest.mark.parametrize(
    "classes", ["", "cat,", "cow", "3", "-1", "1.0", "٢", "²", "9" * 4096, "cat\n\x00", "Cat"]
)
def test_an_unknown_class_gets_the_list_of_classes(classes: str) -> None:
    with pytest.raises(InvalidOptionError, match=r"background, cat, dog \(ids 0 to 2\)") as caught:
        class_ids([classes], NAMES)
    assert str(caught.value).isascii()
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("alpha", "nan"),
        ("alpha", "inf"),
        ("alpha", "-0.01"),
        ("alpha", "1.01"),
        ("alpha", ""),
        ("min_area", "-1"),
        ("min_area", "1e3"),
        ("min_area", "1000000001"),
        ("min_area", "9" * 5000),
        ("max_side", "31"),
        ("max_side", "16385"),
        ("timeout_ms", "0"),
        ("timeout_ms", "-5"),
        ("timeout_ms", "soon"),
        ("orientation", "EXIF"),
        ("output", "Mask"),
        ("output", ""),
        ("model", "m" * 65),
        ("legend", "perhaps"),
        ("unknown", "1"),
        ("Output", "mask"),
    ],
)
def test_an_option_out_of_range_is_refused(option: str, value: str) -> None:
    with pytest.raises(ValidationError):
        SegmentQuery.model_validate({option: value})


@pytest.mark.parametrize("classes", [["c" * 4097], ["cat"] * 257], ids=["long", "many"])
def test_too_many_classes_are_refused(classes: list[str]) -> None:
    with pytest.raises(ValidationError):
        SegmentQuery.model_validate({"classes": classes})


@pytest.mark.parametrize(
    ("option", "value"),
    [("alpha", "0"), ("alpha", "1"), ("min_area", "0"), ("max_side", "32"), ("max_side", "16384")],
)
def test_the_bounds_themselves_are_allowed(option: str, value: str) -> None:
    assert getattr(SegmentQuery.model_validate({option: value}), option) == float(value)
