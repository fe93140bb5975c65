"""A photo decoded into given memory has the pixels of one decoded into an array of its own."""

import numpy as np
import pytest
from PIL import Image

from handlers.job import Job
from handlers.runtime.canvas_batch import CanvasBatch, CanvasShape
from handlers.shared.errors import BrokenImageError
from handlers.shared.frame import Frame
from handlers.shared.wire import WorkerOptions
from handlers.stages.decode import Photo, decode, open_photo
from tests.support.photos import jpeg, save
from tests.support.worker import noise, plain

SIZE = (60, 90)


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return jpeg(noise(SIZE), exif=exif)


def memory_for(opened: Photo) -> CanvasBatch:
    batch = CanvasBatch(CanvasShape(Frame(96, 128), [opened.working_size] * 2), pinned=False)
    batch.pixels.fill_(77)
    return batch


@pytest.mark.parametrize("max_side", [None, 50], ids=["own-size", "reduced"])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(jpeg(noise(SIZE)), id="jpeg"),
        pytest.param(turned(), id="turned"),
        pytest.param(save(noise(SIZE), "PNG"), id="png"),
        pytest.param(save(noise(SIZE), "BMP"), id="bmp"),
    ],
)
def test_pixels_are_the_same_in_given_memory(body: bytes, max_side: int | None) -> None:
    opened = open_photo(Job(body, WorkerOptions(max_side=max_side)), 768)
    batch = memory_for(opened)
    pixels = decode(opened, batch[1])
    assert np.shares_memory(pixels, batch.pixels.numpy())
    np.testing.assert_array_equal(pixels, decode(opened))
    height, width = opened.working_size
    pixels[...] = 77
    assert (batch.pixels == 77).all(), "nothing beside the photo was written"
    assert pixels.shape == (height, width, 3)


def test_a_photo_that_cannot_be_decoded_leaves_the_memory_of_others_alone() -> None:
    opened = open_photo(Job(plain(SIZE, 3)[:-40]), 768)
    batch = memory_for(opened)
    with pytest.raises(BrokenImageError):
        decode(opened, batch[0])
    assert (batch.pixels[1] == 77).all()
