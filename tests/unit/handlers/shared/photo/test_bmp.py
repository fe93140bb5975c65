"""BMPs of all kinds: run-length codes, alpha that was never set, and kinds that are not read."""

import io
import random
import time

import cv2
import numpy as np
import pytest
from PIL.BmpImagePlugin import BmpImageFile

from handlers.shared import photo
from handlers.shared.errors import BrokenImageError, UnsupportedMediaTypeError
from tests.support import bitmaps
from tests.support.bitmaps import BITFIELDS, END, END_OF_LINE, RLE4, RLE8, bmp

MASKS = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
COLOURS = {RLE8: 256, RLE4: 16}
BITS = {RLE8: 8, RLE4: 4}
# of processor time; a second is usual, and what is looked for here takes minutes
MAX_IMAGE_S = 20.0


def read(body: bytes) -> photo.Pixels:
    return photo.decode(body, photo.read_header(body))


def runs(size: tuple[int, int], codes: bytes, coding: int = RLE8) -> bytes:
    palette = bitmaps.grey_palette(COLOURS[coding])
    return bmp(size, BITS[coding], codes, coding=coding, palette=palette)


@pytest.mark.parametrize("coding", [RLE8, RLE4], ids=["rle8", "rle4"])
@pytest.mark.parametrize("seed", range(40))
def test_run_length_codes_are_read_as_pixel_by_pixel(coding: int, seed: int) -> None:
    chance = random.Random(seed)
    height, width = chance.randint(1, 40), chance.randint(1, 400)
    codes = bitmaps.random_codes(chance, height, width, nibbles=coding == RLE4)
    plane = bitmaps.read_codes(codes, height, width, nibbles=coding == RLE4)
    expected = bitmaps.looked_up(plane, bitmaps.grey_palette(COLOURS[coding]))
    np.testing.assert_array_equal(read(runs((height, width), codes, coding)), expected)


@pytest.mark.parametrize("coding", [RLE8, RLE4], ids=["rle8", "rle4"])
@pytest.mark.parametrize("seed", range(10))
def test_plain_runs_are_read_as_pillow_and_opencv_do(coding: int, seed: int) -> None:
    chance = random.Random(seed)
    codes = b"".join(
        bytes((23, chance.randrange(256), 0, 5))
        + chance.randbytes(5 if coding == RLE8 else 3)
        + b"\0"
        + bytes((9, chance.randrange(256)))
        + END_OF_LINE
        for _ in range(11)
    )
    body = runs((11, 37), codes + END, coding)
    pixels = read(body)
    with BmpImageFile(io.BytesIO(body)) as image:
        np.testing.assert_array_equal(pixels, np.asarray(image.convert("RGB")))
    opencv = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    assert opencv is not None
    np.testing.assert_array_equal(pixels, opencv[..., ::-1])


@pytest.mark.parametrize(
    ("codes", "is_complete"),
    [
        pytest.param(b"\2\5" + END_OF_LINE + b"\2\6" + END, True, id="complete"),
        pytest.param(b"\2\5" + END_OF_LINE + b"\2\6", True, id="no-end-behind-the-last-pixel"),
        pytest.param(b"\2\5" + END, True, id="ends-early-by-a-code"),
        pytest.param(b"\2\5" + END_OF_LINE + b"\1\6", False, id="stops-in-a-row"),
        pytest.param(b"\2\5\0\3\1\2", False, id="stops-in-absolute-pixels"),
        pytest.param(b"\2\5\0\2\1", False, id="stops-in-a-jump"),
        pytest.param(b"", False, id="empty"),
    ],
)
def test_codes_that_stop_early_are_damaged(codes: bytes, is_complete: bool) -> None:
    body = runs((2, 2), codes)
    if is_complete:
        assert read(body).shape == (2, 2, 3)
        return
    with pytest.raises(BrokenImageError):
        read(body)


@pytest.mark.parametrize("coding", [RLE8, RLE4], ids=["rle8", "rle4"])
@pytest.mark.parametrize("size", [(1, 31_990_000), (4000, 8000), (65_500, 480)], ids=str)
@pytest.mark.parametrize(
    "codes",
    [END, b"\xff\7" * 8 + END, b"\0\2\1\0" * 50_000 + END, b"\1\3" * 100_000 + END],
    ids=["nothing", "few-runs", "jumps", "runs-of-one"],
)
def test_a_small_file_of_many_pixels_is_read_quickly(
    size: tuple[int, int], coding: int, codes: bytes
) -> None:
    body = runs(size, codes, coding)
    started = time.thread_time()
    read(body)
    assert time.thread_time() - started < MAX_IMAGE_S


def test_the_header_predicts_the_work_of_long_codes() -> None:
    assert photo.read_header(bmp((4, 4), 24, bytes(48))).work == 1
    few, many = (
        photo.read_header(runs((1000, 1000), b"\1\3" * n + END)).work for n in (10, 500_000)
    )
    assert few < 2
    assert many > 15


@pytest.mark.parametrize("header_bytes", [56, 108, 124])
@pytest.mark.parametrize("coding", [0, BITFIELDS], ids=["plain", "bitfields"])
def test_an_alpha_that_is_0_everywhere_was_never_set(header_bytes: int, coding: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 4), np.uint8)
    pixels[..., 3] = 0
    body = bmp((5, 7), 32, pixels.tobytes(), coding=coding, header_bytes=header_bytes, masks=MASKS)
    np.testing.assert_array_equal(read(body), pixels[::-1, :, 2::-1])


def test_an_alpha_that_is_set_somewhere_counts() -> None:
    pixels = np.full((1, 2, 4), 100, np.uint8)
    pixels[..., 3] = (0, 255)
    body = bmp((1, 2), 32, pixels.tobytes(), coding=BITFIELDS, header_bytes=124, masks=MASKS)
    np.testing.assert_array_equal(read(body), [[[255] * 3, [100] * 3]])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(
            bmp(
                (1, 1),
                32,
                bytes(4),
                coding=BITFIELDS,
                header_bytes=124,
                masks=(0x3FF00000, 0xFFC00, 0x3FF, 0),
            ),
            "other than 8",
            id="10-bit",
        ),
        pytest.param(bmp((1, 1), 64, bytes(8)), "64 bits", id="64-bit"),
        pytest.param(bmp((1, 1), 2, bytes(4), palette=bytes(16)), "2 bits", id="2-bit"),
        pytest.param(bmp((1, 1), 0, b"\xff\xd8\xff", coding=4), "a JPEG inside", id="jpeg"),
        pytest.param(bmp((1, 1), 0, b"\x89PNG", coding=5), "a PNG inside", id="png"),
        pytest.param(bmp((1, 1), 24, bytes(4), coding=4, header_bytes=64), "OS/2", id="rle24"),
        pytest.param(bmp((1, 1), 1, bytes(4), coding=3, header_bytes=64), "OS/2", id="huffman"),
        pytest.param(
            b"BM" + bytes(8) + b"\x20\0\0\0\x10\0\0\0" + bytes(40), "OS/2", id="os2-short"
        ),
    ],
)
def test_a_kind_that_is_not_read_is_named(body: bytes, words: str) -> None:
    with pytest.raises(UnsupportedMediaTypeError, match=f"{words}.*save it as"):
        photo.read_header(body)
