"""Unusual photos: each gets the mask of what a viewer would show."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from tests.integration.reading import indices, size_of
from tests.support.photos import ODD, Pixels, exif, save, shown
from tests.support.server import CAT, Server

# how the pixels are stored so that each orientation shows them upright
STORED: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: np.rot90,
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels, -1),
}


def upright() -> Pixels:
    """Return a cat, with different sides that are no multiples of 8."""
    return shown(CAT.read_bytes())[:203, :311]


@pytest.mark.parametrize("name", ODD)
def test_an_odd_photo_gets_the_mask_of_what_it_shows(server: Server, name: str) -> None:
    body, pixels = ODD[name]
    mask = server.segment(body)
    assert size_of(mask) == pixels.shape[:2]
    plain = indices(server.segment(save(pixels, "PNG")))
    # a transparent photo's pixels may be one off
    assert (indices(mask) == plain).mean() >= 0.999


@pytest.mark.parametrize("orientation", STORED)
def test_exif_turns_a_photo_and_orientation_stored_does_not(
    server: Server, orientation: int
) -> None:
    expected = server.segment(save(upright(), "PNG"))
    stored = np.ascontiguousarray(STORED[orientation](upright()))
    body = save(Image.fromarray(stored), "PNG", exif=exif(orientation))
    assert server.segment(body) == expected
    as_stored = server.segment(body, orientation="stored")
    assert as_stored == server.segment(save(stored, "PNG"))
    assert (as_stored == expected) == (orientation == 1)


@pytest.mark.parametrize("output", ["labels", "overlay", "confidence"])
def test_other_outputs_are_turned_with_the_mask(server: Server, output: str) -> None:
    body = save(Image.fromarray(upright()), "PNG", exif=exif(6))
    height, width = upright().shape[:2]
    assert size_of(server.segment(body, output=output)) == (width, height)
    assert size_of(server.segment(body, output=output, orientation="stored")) == (height, width)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (31, 33), (32, 32), (769, 100)])
def test_every_answer_has_its_photos_size(server: Server, size: tuple[int, int]) -> None:
    pixels = np.resize(upright(), (*size, 3))
    for output in ("mask", "labels", "overlay", "confidence"):
        assert size_of(server.segment(save(pixels, "PNG"), output=output)) == size
