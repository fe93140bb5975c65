"""Any bytes in, pixels as a viewer shows them, or the right error out."""

import io
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from handlers.shared import photo
from handlers.shared.errors import ProblemError, TooManyPixelsError, UnsupportedMediaTypeError
from handlers.shared.photo.exif import turn, turn_back
from tests.support.photos import (
    BROKEN,
    MAX_PIXELS,
    ODD,
    OPTIONAL,
    jpeg,
    many_scans,
    noise,
    png_bomb,
    save,
)
from tests.support.photos import photo as smooth

ALL_FORMATS = photo.DEFAULT_FORMATS | photo.OPTIONAL_FORMATS
ROUNDING = 1  # between formulas that composite an alpha channel or make RGB of CMYK


def read(body: bytes, orientation: photo.Orientation = "exif") -> photo.Pixels:
    header = photo.read_header(body, ALL_FORMATS)
    photo.check_pixels(header, MAX_PIXELS)
    pixels = photo.decode(body, header, orientation)
    assert pixels.shape == (*header.size(orientation), 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    return pixels


@pytest.mark.parametrize(("body", "error"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_photo_gets_its_error(body: bytes, error: type[ProblemError]) -> None:
    with pytest.raises(error) as caught:
        photo.decode(body, checked_header(body))
    assert str(caught.value).isascii()
    assert caught.value.problem()["code"] == error.code


def checked_header(body: bytes) -> photo.Header:
    header = photo.read_header(body)
    photo.check_pixels(header, MAX_PIXELS)
    return header


@pytest.mark.parametrize(
    ("body", "expected"), [*ODD.values(), *OPTIONAL.values()], ids=[*ODD, *OPTIONAL]
)
def test_an_odd_photo_becomes_what_a_viewer_shows(body: bytes, expected: photo.Pixels) -> None:
    pixels = read(body)
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).max() <= ROUNDING


@pytest.mark.parametrize("name", [n for n in [*ODD, *OPTIONAL] if "-exif-" in n])
def test_turning_equals_pillows_and_is_optional(name: str) -> None:
    body = {**ODD, **OPTIONAL}[name][0]
    with Image.open(io.BytesIO(body)) as image:
        shown = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    np.testing.assert_array_equal(read(body), shown)
    header = photo.read_header(body, ALL_FORMATS)
    assert header.size("stored") == (61, 83)
    np.testing.assert_array_equal(read(body, "stored"), turn_back(shown, header.exif))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_back_undoes_turning(orientation: int) -> None:
    pixels = noise()
    np.testing.assert_array_equal(turn_back(turn(pixels, orientation), orientation), pixels)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
def test_jpeg_pixels_equal_pillows_bit_for_bit(subsampling: str, progressive: bool) -> None:
    body = jpeg(noise(67, 129), subsampling=subsampling, progressive=progressive)
    with Image.open(io.BytesIO(body)) as image:
        np.testing.assert_array_equal(read(body), np.asarray(image.convert("RGB")))


def test_a_bytearray_reads_like_bytes() -> None:
    for body, _ in ODD.values():
        copy = bytearray(body)
        header = photo.read_header(copy)
        assert header == photo.read_header(body)
        np.testing.assert_array_equal(photo.decode(copy, header), read(body))


def test_a_pixel_bomb_is_refused_by_its_header_with_both_numbers() -> None:
    header = photo.read_header(png_bomb())
    assert header.size("exif") == (50_000, 50_000)
    with pytest.raises(TooManyPixelsError, match=r"50000x50000.*4000000.*FCNSERVE_MAX_PIXELS"):
        photo.check_pixels(header, 4_000_000)


def test_a_photo_of_just_the_limits_passes() -> None:
    photo.check_pixels(photo.Header("png", 1000, 2000, 1), 2_000_000)
    photo.check_pixels(photo.Header("png", 1, photo.MAX_SIDE, 1), photo.MAX_SIDE)


@pytest.mark.parametrize(
    ("options", "scans"),
    [
        pytest.param({}, 1, id="baseline"),
        pytest.param({"restart_marker_blocks": 4}, 1, id="with-restarts"),
        pytest.param({"progressive": True}, 10, id="progressive"),
    ],
)
def test_a_jpegs_header_counts_the_scans(options: dict[str, Any], scans: int) -> None:
    assert photo.read_header(jpeg(**options)).scans == scans


@pytest.mark.parametrize(
    ("body", "has_more_work"),
    [
        pytest.param(jpeg(), False, id="jpeg"),
        pytest.param(jpeg(Image.fromarray(smooth()).convert("CMYK")), True, id="jpeg-cmyk"),
        pytest.param(ODD["png-rgb-16"][0], False, id="png-16"),
        pytest.param(ODD["png-rgb-16-key"][0], True, id="png-16-key"),
        pytest.param(save(smooth(), "TIFF"), False, id="tiff"),
        pytest.param(save(smooth(), "TIFF", compression="tiff_lzw"), True, id="tiff-lzw"),
        pytest.param(ODD["bmp"][0], False, id="bmp"),
        pytest.param(ODD["bmp-run-length-coded"][0], True, id="bmp-run-length-coded"),
    ],
)
def test_a_header_has_the_work_of_its_coding(body: bytes, has_more_work: bool) -> None:
    assert (photo.read_header(body, ALL_FORMATS).work > 1) == has_more_work


def test_too_many_scans_are_refused_before_any_is_decoded() -> None:
    with pytest.raises(ProblemError, match="more than 50 scans"):
        photo.read_header(many_scans(300))


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "AVIF"])
def test_an_optional_format_is_refused_with_the_name_of_its_setting(kind: str) -> None:
    body = save(smooth(), kind)
    with pytest.raises(UnsupportedMediaTypeError, match=rf"add {kind.lower()} to FCNSERVE_FORMATS"):
        photo.read_header(body)
    assert photo.read_header(body, ALL_FORMATS).format == kind.lower()


def test_a_header_of_another_photo_is_an_error_not_another_size() -> None:
    for body, _ in ODD.values():
        header = photo.read_header(body)
        other = photo.Header(header.format, header.height + 1, header.width, header.exif)
        with pytest.raises(ProblemError):
            photo.decode(body, other)


@pytest.mark.parametrize(
    ("size", "max_side", "fitted"),
    [
        ((300, 451), 768, (300, 451)),
        ((768, 768), 768, (768, 768)),
        ((3000, 4000), 768, (576, 768)),
        ((4000, 3000), 768, (768, 576)),
        ((1, 3000), 768, (1, 768)),
        ((3, 2000), 1000, (2, 1000)),
        ((1, 1), 1, (1, 1)),
    ],
    ids=str,
)
def test_a_photo_is_fitted_by_its_longest_side(
    size: tuple[int, int], max_side: int, fitted: tuple[int, int]
) -> None:
    assert photo.fit(*size, max_side) == fitted


@given(st.integers(1, 70_000), st.integers(1, 70_000), st.integers(1, 5_000))
def test_fitting_keeps_the_shape_within_half_a_pixel(
    height: int, width: int, max_side: int
) -> None:
    fitted = photo.fit(height, width, max_side)
    scale = min(1, max_side / max(height, width))
    assert max(fitted) <= max(max_side, 1)
    for side, exact in zip(fitted, (height * scale, width * scale), strict=True):
        assert side >= 1
        assert side == 1 or abs(side - exact) <= 0.5 + 1e-6


def test_a_photo_that_fits_is_not_copied() -> None:
    pixels = noise()
    assert photo.reduce(pixels, (61, 83)) is pixels


def test_reducing_averages_instead_of_skipping_pixels() -> None:
    board = np.indices((64, 64)).sum(axis=0) % 2 * np.uint8(255)
    pixels = np.repeat(board[..., None], 3, axis=2).astype(np.uint8)
    reduced = photo.reduce(pixels, (8, 4))
    assert reduced.shape == (8, 4, 3)
    assert np.abs(reduced.astype(int) - 127).max() <= 3


VALID = [body for body, _ in [*ODD.values(), *OPTIONAL.values()]]


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=300)
@given(st.data())
def test_mutated_bytes_give_a_problem_or_pixels_of_the_headers_size(data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from(VALID)))
    early = min(len(body), 400) - 1
    for _ in range(data.draw(st.integers(0, 6))):
        where = data.draw(st.integers(0, early) | st.integers(0, len(body) - 1))
        body[where] = data.draw(st.integers(0, 255) | st.sampled_from([0, 0xFF, 0xD9]))
    cut = data.draw(st.just(len(body)) | st.integers(0, len(body)))
    read_or_problem(bytes(body[:cut]))


@given(st.sampled_from([body[:12] for body in VALID]), st.binary(max_size=300))
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_noise_behind_a_magic_number_gives_a_problem_or_pixels(magic: bytes, rest: bytes) -> None:
    read_or_problem(magic + rest)


def read_or_problem(body: bytes) -> None:
    """Any other exception, and any other size than the header's, fails the test."""
    with suppress(ProblemError):
        read(body)


@pytest.fixture(autouse=True)
def limits_of_pillow_untouched() -> Iterator[None]:
    before = Image.MAX_IMAGE_PIXELS
    yield
    assert before == Image.MAX_IMAGE_PIXELS
