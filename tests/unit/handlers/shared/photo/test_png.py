"""PNGs: chunks without pixels never matter, transparency does; the cost is that of the pixels."""

import random
import struct
import time
import zlib
from contextlib import suppress

import numpy as np
import pytest
from numpy.typing import NDArray

from handlers.shared import photo
from handlers.shared.errors import BrokenImageError, UnsupportedMediaTypeError
from tests.support.photos import (
    PNG_SIGNATURE,
    as_rgb,
    chunk,
    exif,
    filtered,
    ihdr,
    interlaced,
    png,
    xmp,
)
from tests.support.photos import photo as smooth

WHITE = 255
PIXELS = smooth()
ROWS = filtered(PIXELS)
# of processor time; what is looked for takes minutes
MAX_IMAGE_S = 10.0
EXIF_6 = exif(6).tobytes().removeprefix(b"Exif\0\0")


def read(body: bytes) -> photo.Pixels:
    return photo.decode(body, photo.read_header(body), "stored")


def wrong(part: bytes) -> bytes:
    """The chunk with a wrong checksum."""
    return part[:-1] + bytes((part[-1] ^ 1,))


BIG = zlib.compress(bytes(2_000_000))
ANCILLARY = {
    "icc-of-2-MB": chunk(b"iCCP", b"icc\0\0" + BIG),
    "icc-of-nonsense": chunk(b"iCCP", b"icc\0\7nonsense"),
    "icc-empty": chunk(b"iCCP", b""),
    "ztxt-of-2-MB": chunk(b"zTXt", b"Comment\0\0" + BIG),
    "ztxt-of-another-method": chunk(b"zTXt", b"Comment\0\1abc"),
    "itxt-of-2-MB": chunk(b"iTXt", b"Comment\0\1\0\0\0" + BIG),
    "itxt-of-nonsense": chunk(b"iTXt", b"Comment"),
    "xmp-of-2-MB": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + BIG),
    "much-text": chunk(b"tEXt", b"Comment\0" + b"a" * 900_000) * 80,
    "text-without-key": chunk(b"tEXt", b"\0"),
    "raw-profile-of-nonsense": chunk(b"tEXt", b"Raw profile type exif\0\n\n\nnonsense"),
    "exif-of-nonsense": chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff"),
    "exif-empty": chunk(b"eXIf", b""),
    "unknown": chunk(b"teSt", b"any"),
    "animation-of-nonsense": chunk(b"acTL", b"\0") + chunk(b"fcTL", b"\0"),
    "animation-out-of-order": chunk(b"acTL", struct.pack(">II", 2, 0))
    + chunk(b"fcTL", struct.pack(">5I2H2B", 7, 9, 9, 900, 900, 1, 1, 0, 0)),
} | {
    f"{kind.decode()}-of-{size}": chunk(kind, bytes(size))
    for kind in (b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"tIME", b"sBIT", b"bKGD", b"hIST", b"cICP")
    for size in (0, 1, 40)
}


@pytest.mark.parametrize("position", ["before", "after"])
@pytest.mark.parametrize("name", ANCILLARY)
def test_a_chunk_without_pixels_changes_no_pixel(name: str, position: str) -> None:
    extra = ANCILLARY[name]
    parts = {"before": extra + extra, "after": b""} if position == "before" else {"after": extra}
    np.testing.assert_array_equal(read(png(ihdr(61, 83), ROWS, **parts)), PIXELS)


@pytest.mark.parametrize("name", ANCILLARY)
def test_the_checksum_of_a_chunk_without_pixels_is_not_checked(name: str) -> None:
    np.testing.assert_array_equal(
        read(png(ihdr(61, 83), ROWS, before=wrong(ANCILLARY[name]))), PIXELS
    )


def test_a_chunk_between_those_of_pixels_changes_no_pixel() -> None:
    data = zlib.compress(ROWS)
    parts = [chunk(b"IDAT", data[at : at + 100]) for at in range(0, len(data), 100)]
    body = PNG_SIGNATURE + ihdr(61, 83) + chunk(b"teSt", b"").join(parts) + chunk(b"IEND", b"")
    np.testing.assert_array_equal(read(body), PIXELS)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(png(wrong(ihdr(61, 83)), ROWS), id="header"),
        pytest.param(
            png(
                ihdr(61, 83, 8, 3),
                filtered(PIXELS[..., 0] % 2),
                before=wrong(chunk(b"PLTE", b"abcdef")),
            ),
            id="palette",
        ),
    ],
)
def test_the_checksum_of_a_chunk_that_pixels_need_counts(body: bytes) -> None:
    with pytest.raises(BrokenImageError):
        read(body)


@pytest.mark.parametrize(
    ("parts", "orientation"),
    [
        pytest.param(chunk(b"eXIf", EXIF_6), 6, id="exif"),
        pytest.param(wrong(chunk(b"eXIf", EXIF_6)), 6, id="exif-checksum"),
        pytest.param(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(3)), 3, id="xmp"),
        pytest.param(
            chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp(3))), 3, id="packed"
        ),
        pytest.param(
            chunk(
                b"zTXt",
                b"Raw profile type exif\0\0"
                + zlib.compress(b"\nexif\n  99\n" + EXIF_6.hex().encode()),
            ),
            6,
            id="as-imagemagick-has-it",
        ),
    ],
)
def test_the_orientation_is_found_where_pillow_finds_it(parts: bytes, orientation: int) -> None:
    assert photo.read_header(png(ihdr(61, 83), ROWS, before=parts)).exif == orientation
    assert photo.read_header(png(ihdr(61, 83), ROWS, after=parts)).exif == orientation


def test_apples_own_kind_is_named() -> None:
    body = png(chunk(b"CgBI", bytes(4)) + ihdr(61, 83), ROWS)
    with pytest.raises(UnsupportedMediaTypeError, match=r"CgBI.*send the original"):
        photo.read_header(body)


def packed_bits(samples: NDArray[np.generic], bits: int) -> NDArray[np.uint8]:
    """(H, W) levels to (H, bytes), the first pixel in the highest bits."""
    digits = np.unpackbits(samples.astype(np.uint8)[..., None], axis=2)[..., 8 - bits :]
    return np.packbits(digits.reshape(len(samples), -1), axis=1)


def levels(bits: int, shape: tuple[int, ...] = (13, 21)) -> NDArray[np.uint16]:
    return np.random.default_rng(bits).integers(0, 1 << bits, shape, dtype=np.uint16)


def grey_png(samples: NDArray[np.uint16], bits: int, key: int, *, passes: bool = False) -> bytes:
    def rows(part: NDArray[np.uint16]) -> bytes:
        if bits < 8:
            return filtered(packed_bits(part, bits))
        return filtered(part if bits == 16 else part.astype(np.uint8))

    adam7 = (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    )
    parts = [samples[y::dy, x::dx] for y, x, dy, dx in adam7] if passes else [samples]
    data = b"".join(rows(part) for part in parts if part.size)
    height, width = samples.shape
    head = ihdr(height, width, bits, 0, int(passes))
    return png(head, data, before=chunk(b"tRNS", struct.pack(">H", key)))


@pytest.mark.parametrize("passes", [False, True], ids=["plain", "interlaced"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_the_transparent_level_of_a_grey_png_is_white(bits: int, passes: bool) -> None:
    samples = levels(bits)
    for key in {0, 1, int(samples[3, 4]), (1 << bits) - 1}:
        shown = samples >> 8 if bits == 16 else samples * (WHITE // ((1 << bits) - 1))
        shown = np.where(samples == key, WHITE, shown)
        np.testing.assert_array_equal(
            read(grey_png(samples, bits, key, passes=passes)), as_rgb(shown)
        )


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_bits_of_the_key_beyond_the_depth_do_not_count(bits: int) -> None:
    samples = levels(bits)
    plain, odd = (grey_png(samples, bits, key) for key in (1, 1 | 1 << bits | 1 << 15))
    np.testing.assert_array_equal(read(plain), read(odd))


@pytest.mark.parametrize("passes", [False, True], ids=["plain", "interlaced"])
@pytest.mark.parametrize("bits", [8, 16])
def test_the_transparent_colour_of_an_rgb_png_is_white(bits: int, passes: bool) -> None:
    """And no other: two colours that share their high bytes are not one."""
    samples = levels(bits, (13, 21, 3))
    samples[2, 3], samples[5, 6] = samples[7, 7], samples[7, 7] ^ 1
    key = samples[7, 7]
    shown = samples >> 8 if bits == 16 else samples
    shown = np.where((samples == key).all(2, keepdims=True), WHITE, shown)
    stored = samples if bits == 16 else samples.astype(np.uint8)
    body = png(
        ihdr(13, 21, bits, interlace=int(passes)),
        interlaced(stored) if passes else filtered(stored),
        before=chunk(b"tRNS", struct.pack(">HHH", *key.tolist())),
    )
    np.testing.assert_array_equal(read(body), shown)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_each_entry_of_a_palette_has_its_alpha(bits: int) -> None:
    """The table of alphas may be shorter than the palette; the rest is opaque."""
    samples, colours = levels(bits), 1 << bits
    palette = np.random.default_rng(3).integers(0, 256, (colours, 3), np.uint8)
    alpha = np.full(colours, WHITE, np.uint8)
    alpha[: colours // 2] = np.random.default_rng(4).choice([0, 90, 255], colours // 2)
    body = png(
        ihdr(13, 21, bits, 3),
        filtered(packed_bits(samples, bits)),
        before=chunk(b"PLTE", palette.tobytes()) + chunk(b"tRNS", alpha[: colours // 2].tobytes()),
    )
    share = alpha[samples][..., None] / WHITE
    expected = palette[samples] * share + WHITE * (1 - share)
    np.testing.assert_allclose(read(body).astype(float), expected, atol=1)


def test_an_alpha_of_0_everywhere_is_white_as_every_viewer_has_it() -> None:
    samples = np.dstack([PIXELS, np.zeros(PIXELS.shape[:2], np.uint8)])
    assert (read(png(ihdr(61, 83, 8, 6), filtered(samples))) == WHITE).all()


@pytest.mark.parametrize(
    "transparency",
    [
        pytest.param(chunk(b"tRNS", b"\1"), id="short"),
        pytest.param(wrong(chunk(b"tRNS", PIXELS[0, 0].astype(">u2").tobytes())), id="checksum"),
    ],
)
def test_a_damaged_transparency_counts_as_absent(transparency: bytes) -> None:
    np.testing.assert_array_equal(read(png(ihdr(61, 83), ROWS, before=transparency)), PIXELS)


def bomb(height: int, width: int, data_bytes: int, interlace: int = 0) -> bytes:
    idat = chunk(b"IDAT", zlib.compress(bytes(data_bytes), 9))
    return PNG_SIGNATURE + ihdr(height, width, 8, 2, interlace) + idat + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(bomb(1, 1, 500_000_000), id="more-data-than-pixels"),
        pytest.param(bomb(4000, 4000, 48_004_000), id="black"),
        pytest.param(bomb(4000, 4000, 48_020_000, 1), id="black-interlaced"),
        pytest.param(
            png(ihdr(1, 1), b"\0\1\2\3", before=chunk(b"tEXt", b"a") * 60_000), id="many-chunks"
        ),
        pytest.param(
            PNG_SIGNATURE
            + ihdr(61, 83)
            + b"".join(chunk(b"IDAT", zlib.compress(ROWS, 0)[i : i + 1]) for i in range(15_000)),
            id="many-pieces-of-pixels",
        ),
        pytest.param(
            png(
                ihdr(1, 1),
                b"\0\1\2\3",
                before=chunk(b"zTXt", b"XML:com.adobe.xmp\0\0" + BIG) * 3_000,
            ),
            id="packed-xmp",
        ),
    ],
)
def test_inflating_a_png_costs_no_more_than_its_pixels(body: bytes) -> None:
    started = time.thread_time()
    with suppress(BrokenImageError):
        read(body)
    assert time.thread_time() - started < MAX_IMAGE_S


def test_random_chunks_in_between_change_no_pixel() -> None:
    chance = random.Random(5)
    for _ in range(200):
        kind = bytes(chance.choice(b"abcdefgh") for _ in range(2)) + b"Ab"
        extra = chunk(kind, chance.randbytes(chance.randrange(50)))
        np.testing.assert_array_equal(read(png(ihdr(61, 83), ROWS, before=extra)), PIXELS)
