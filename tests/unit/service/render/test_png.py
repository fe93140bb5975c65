"""PNGs are read by other libraries as written, and label maps are unchanged after a round trip."""

import io
import struct
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from handlers.shared.png import write_grey, write_grey_alpha, write_indexed, write_rgb
from service.render import png

PALETTE = bytes(range(63))  # 21 colours
SHAPES = [(1, 1), (1, 3000), (3000, 1), (7, 5)]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def some_labels(shape: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 21, shape, np.uint8)


def by_pillow(body: bytes, mode: str) -> NDArray[Any]:
    with Image.open(io.BytesIO(body)) as image:
        assert image.mode == mode
        return np.asarray(image)


def saved(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def pixel_data(body: bytes) -> list[bytes]:
    """All IDAT chunks, lengths and checksums included."""
    found, at = [], 8
    while at < len(body):
        (length,) = struct.unpack_from(">I", body, at)
        if body[at + 4 : at + 8] == b"IDAT":
            found.append(body[at : at + 12 + length])
        at += 12 + length
    return found


@each_shape
def test_an_indexed_png_has_the_labels_as_indices_and_the_palette(shape: tuple[int, int]) -> None:
    labels = some_labels(shape)
    body = write_indexed(labels, PALETTE)
    np.testing.assert_array_equal(by_pillow(body, "P"), labels)
    with Image.open(io.BytesIO(body)) as image:
        assert bytes(image.getpalette() or [])[:63] == PALETTE
    np.testing.assert_array_equal(png.read_labels(body), labels)


@each_shape
def test_opencv_and_pillow_read_a_grey_png_as_the_labels(shape: tuple[int, int]) -> None:
    labels = some_labels(shape)
    body = write_grey(labels)
    np.testing.assert_array_equal(by_pillow(body, "L"), labels)
    by_opencv = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(by_opencv, labels)
    np.testing.assert_array_equal(png.read_labels(body), labels)


@each_shape
def test_grey_alpha_keeps_labels_and_confidence_apart(shape: tuple[int, int]) -> None:
    labels, confidence = some_labels(shape), some_labels(shape, seed=1) * np.uint8(12)
    body = write_grey_alpha(labels, confidence)
    np.testing.assert_array_equal(by_pillow(body, "LA"), np.dstack([labels, confidence]))
    np.testing.assert_array_equal(png.read_labels(body), labels)
    for seen, expected in zip(png.read_confidence(body), (labels, confidence), strict=True):
        np.testing.assert_array_equal(seen, expected)


@each_shape
def test_an_rgb_png_keeps_every_pixel(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (*shape, 3), np.uint8)
    np.testing.assert_array_equal(by_pillow(write_rgb(pixels), "RGB"), pixels)


@each_shape
def test_as_grey_changes_no_byte_of_the_pixel_data(shape: tuple[int, int]) -> None:
    labels = some_labels(shape)
    indexed = write_indexed(labels, PALETTE)
    grey = png.as_grey(indexed)
    assert pixel_data(grey) == pixel_data(indexed) != []
    np.testing.assert_array_equal(by_pillow(grey, "L"), labels)


def test_as_grey_accepts_other_encoders_pngs_with_transparency() -> None:
    labels = some_labels((200, 300))
    image = Image.fromarray(labels)
    image.putpalette(PALETTE)
    indexed = saved(image, transparency=0, bits=8)
    grey = png.as_grey(indexed)
    assert pixel_data(grey) == pixel_data(indexed)
    np.testing.assert_array_equal(by_pillow(grey, "L"), labels)
    np.testing.assert_array_equal(png.read_labels(indexed), labels)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\xd8\xff\xe0" + bytes(60), id="jpeg"),
        pytest.param(saved(Image.new("RGB", (4, 4))), id="rgb"),
        pytest.param(saved(Image.new("1", (4, 4))), id="one-bit"),
        pytest.param(saved(Image.new("I;16", (4, 4))), id="sixteen-bit"),
    ],
)
def test_other_pngs_are_rejected(body: bytes) -> None:
    with pytest.raises(ValueError, match="PNG"):
        png.read_labels(body)


def test_as_grey_accepts_indexed_pngs_only() -> None:
    with pytest.raises(ValueError, match="indexed"):
        png.as_grey(write_grey(some_labels((4, 4))))


def test_a_png_without_alpha_has_no_confidence() -> None:
    with pytest.raises(ValueError, match="confidence"):
        png.read_confidence(write_indexed(some_labels((4, 4)), PALETTE))
