"""TIFFs of every kind are shown right, or refused by name, in time that no directory extends."""

import struct
import time
from contextlib import suppress
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from handlers.shared import photo
from handlers.shared.errors import (
    BrokenImageError,
    ImageTooCostlyError,
    ProblemError,
    UnsupportedMediaTypeError,
)
from tests.support import tiffs
from tests.support.photos import as_rgb, jpeg, on_white, save
from tests.support.photos import photo as smooth
from tests.support.tiffs import BLACK_IS_ZERO, CMYK, RGB, WHITE_IS_ZERO, tiff

FORMATS = frozenset({"tiff"})
WHITE = 255
SIZE = (13, 22)
# of processor time; what is looked for takes minutes
MAX_IMAGE_S = 10.0

each_order = pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
each_coding = pytest.mark.parametrize("deflate", [False, True], ids=["plain", "deflated"])
each_layout = pytest.mark.parametrize("planar", [False, True], ids=["pixels", "planes"])


def read(body: bytes, orientation: photo.Orientation = "exif") -> photo.Pixels:
    return photo.decode(body, photo.read_header(body, FORMATS), orientation)


def samples(dtype: str, count: int = 1) -> NDArray[np.generic]:
    shape = SIZE if count == 1 else (*SIZE, count)
    raw = np.random.default_rng(count).bytes(int(np.prod(shape)) * np.dtype(dtype).itemsize)
    return np.frombuffer(raw, dtype).reshape(shape)


def high_bytes(deep: NDArray[np.generic]) -> NDArray[np.uint8]:
    return (deep.astype(np.int64) >> 8 * (deep.dtype.itemsize - 1)).astype(np.uint8)


@each_order
@each_coding
@pytest.mark.parametrize("rows", [0, 5], ids=["one-strip", "strips"])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, BLACK_IS_ZERO], ids=["white-0", "black-0"])
def test_grey_is_shown_by_its_photometric_tag(
    photometric: int, dtype: str, rows: int, deflate: bool, order: Literal["<", ">"]
) -> None:
    grey = samples(dtype)
    body = tiff(grey, photometric, order=order, deflate=deflate, rows=rows)
    shown = high_bytes(grey)
    shown = WHITE - shown if photometric == WHITE_IS_ZERO else shown
    np.testing.assert_array_equal(read(body), as_rgb(shown))


@each_order
@each_coding
@each_layout
@pytest.mark.parametrize("rows", [0, 5], ids=["one-strip", "strips"])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_rgb_is_shown_in_pixels_and_in_planes(
    dtype: str, rows: int, planar: bool, deflate: bool, order: Literal["<", ">"]
) -> None:
    colours = samples(dtype, 3)
    body = tiff(colours, RGB, order=order, deflate=deflate, planar=planar, rows=rows)
    np.testing.assert_array_equal(read(body), high_bytes(colours))


@each_order
@each_layout
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_alpha_beside_colours_is_shown_on_white(
    dtype: str, planar: bool, order: Literal["<", ">"]
) -> None:
    colours = samples(dtype, 4)
    body = tiff(colours, RGB, order=order, planar=planar, tags={338: (2,)})
    shown = high_bytes(colours)
    difference = read(body).astype(int) - on_white(shown[..., :3], shown[..., 3])
    assert np.abs(difference).max() <= 1


@each_order
@each_layout
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_cmyk_is_shown_in_pixels_and_in_planes(
    dtype: str, planar: bool, order: Literal["<", ">"]
) -> None:
    inks = samples(dtype, 4)
    light = WHITE - high_bytes(inks).astype(float)
    expected = light[..., :3] * light[..., 3:] / WHITE
    body = tiff(inks, CMYK, order=order, planar=planar)
    np.testing.assert_allclose(read(body).astype(float), expected, atol=2)


@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, BLACK_IS_ZERO], ids=["white-0", "black-0"])
def test_an_orientation_turns_rewritten_images_too(photometric: int) -> None:
    grey = samples("u2")
    shown = high_bytes(grey)
    shown = WHITE - shown if photometric == WHITE_IS_ZERO else shown
    body = tiff(grey, photometric, tags={274: (6,)})
    np.testing.assert_array_equal(read(body, "stored"), as_rgb(shown))
    np.testing.assert_array_equal(read(body), as_rgb(np.rot90(shown, -1)))


def test_planes_are_turned_too() -> None:
    colours = samples("u2", 3)
    body = tiff(colours, planar=True, tags={274: (3,)})
    np.testing.assert_array_equal(read(body), high_bytes(colours)[::-1, ::-1])


def test_12_bits_of_a_scanner_fill_the_range() -> None:
    levels = np.arange(8, dtype=np.uint16) * 500
    bits = np.unpackbits(levels.astype(">u2").view(np.uint8).reshape(-1, 2), axis=1)[:, 4:]
    packed = np.packbits(bits.reshape(1, -1), axis=1)
    body = tiff(packed, BLACK_IS_ZERO, bits=4, tags={256: (8,), 258: (12,)})
    np.testing.assert_array_equal(read(body), as_rgb((levels >> 4)[None]))


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_a_bigtiff_is_read_like_any_other(dtype: str) -> None:
    grey = samples(dtype)
    body = tiff(grey, WHITE_IS_ZERO, big=True)
    np.testing.assert_array_equal(read(body), as_rgb(WHITE - high_bytes(grey)))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(tiff(samples("i1"), BLACK_IS_ZERO), "8 bits of signed", id="signed-bytes"),
        pytest.param(tiff(samples("i1"), WHITE_IS_ZERO), "8 bits of signed", id="signed-inverted"),
        pytest.param(tiff(samples("i2"), WHITE_IS_ZERO), "16 bits of signed", id="i2-inverted"),
        pytest.param(tiff(samples("f4"), WHITE_IS_ZERO), "floating-point", id="f4-inverted"),
        pytest.param(tiff(samples("f2"), BLACK_IS_ZERO), "16 bits of floating-point", id="half"),
        pytest.param(tiff(samples("f8"), BLACK_IS_ZERO), "64 bits of floating-point", id="double"),
        pytest.param(tiff(samples("f4", 3), RGB), r"32\+32\+32 bits", id="float-rgb"),
        pytest.param(tiff(samples("u4", 3), RGB), r"32\+32\+32 bits", id="32-bit-rgb"),
        pytest.param(tiff(samples("u8"), BLACK_IS_ZERO), "64 bits of unsigned", id="64-bit"),
        pytest.param(
            tiff(samples("u1", 2), BLACK_IS_ZERO, tags={338: (1,)}),
            r"8\+8",
            id="grey-premultiplied",
        ),
        pytest.param(
            tiff(samples("u1", 4), RGB, planar=True, tags={338: (0,)}), "planar", id="planes-extra"
        ),
        pytest.param(tiff(samples("u1", 3), tags={259: (34887,)}), "compression 34887", id="lerc"),
        pytest.param(tiff(samples("u1", 3), tags={259: (50001,)}), "compression 50001", id="webp"),
        pytest.param(tiff(samples("u1", 3), tags={259: (50002,)}), "compression 50002", id="jxl"),
        pytest.param(tiff(samples("u1", 3), tags={50706: (1,)}), "raw photo", id="dng"),
        pytest.param(
            tiff(samples("u1", 3), tags={254: (1,), 330: (8,)}), "raw photo", id="preview-first"
        ),
    ],
)
def test_a_kind_that_is_not_read_is_named(body: bytes, words: str) -> None:
    with pytest.raises(UnsupportedMediaTypeError, match=words):
        photo.read_header(body, FORMATS)


@pytest.mark.parametrize("missing", [256, 257])
def test_a_directory_that_lacks_the_size_is_damaged(missing: int) -> None:
    intact = tiff(samples("u1", 3))
    entry = intact.index(struct.pack("<HHI", missing, 3, 1))
    body = intact[:entry] + b"\xff\xff" + intact[entry + 2 :]
    with pytest.raises(BrokenImageError):
        photo.read_header(body, FORMATS)


def many_scans_inside() -> bytes:
    inside = jpeg(smooth(240, 320), progressive=True)
    scan = inside[inside.rindex(b"\xff\xda") : -2]
    inside = inside[:-2] + scan * 300 + b"\xff\xd9"
    tags = {
        256: (320,), 257: (240,), 258: (8, 8, 8), 259: (7,), 262: (6,), 273: (16,), 277: (3,),
        278: (240,), 279: (len(inside),),
    }  # fmt: skip
    return tiffs.directory(inside, tags, "<", big=False)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(many_scans_inside(), "310 scans", id="scans-of-a-jpeg"),
        pytest.param(
            tiff(samples("u1"), 1, tags=dict.fromkeys(range(60_000, 62_000), (1,))),
            "2011 entries",
            id="entries",
        ),
        pytest.param(
            tiff(samples("u1"), 1, tags={322: (65_520,), 323: (65_520,)}), "tiles", id="large-tiles"
        ),
        pytest.param(tiff(samples("u1"), 1, tags={322: (1,), 323: (1,)}), "tiles", id="tiny-tiles"),
        pytest.param(
            tiff(samples("u1"), 1).replace(
                struct.pack("<HHI", 258, 3, 1), struct.pack("<HHI", 258, 3, 2**32 - 1)
            ),
            "values",
            id="endless-values",
        ),
    ],
)
def test_a_directory_that_would_cost_much_is_refused(body: bytes, words: str) -> None:
    with pytest.raises((BrokenImageError, ImageTooCostlyError), match=words):
        photo.read_header(body, FORMATS)


@pytest.mark.parametrize(
    "compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd"]
)
def test_a_strip_for_each_row_is_read_quickly(compression: str) -> None:
    image = save(np.zeros((65_500, 8, 3), np.uint8), "TIFF", compression=compression, strip_size=24)
    started = time.thread_time()
    assert read(image).shape == (65_500, 8, 3)
    assert time.thread_time() - started < MAX_IMAGE_S


@pytest.mark.parametrize("seed", range(20))
def test_any_numbers_in_a_directory_end_in_pixels_or_a_problem(seed: int) -> None:
    chance = np.random.default_rng(seed)
    for tag in (256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 322, 323, 338, 339):
        value = int(chance.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 32, 255, 65_535]))
        body = tiff(samples("u2", 3), planar=bool(seed % 2), tags={tag: (value,)})
        with suppress(ProblemError):
            header = photo.read_header(body, FORMATS)
            photo.check_pixels(header, 10_000_000)
            assert photo.decode(body, header).shape == (*header.size("exif"), 3)
