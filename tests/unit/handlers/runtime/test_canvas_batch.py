"""Photos of a group lie in one array, of which there is a bounded amount for a batch of images."""

import numpy as np
import pytest

from handlers.runtime import canvas_batch
from handlers.runtime.canvas_batch import CanvasBatch, CanvasShape, canvas_batches
from handlers.shared.frame import Frame

CANVAS = Frame(64, 96)
SHAPE = CanvasShape(CANVAS, [(64, 96), (1, 5), (50, 33)])


def test_each_photo_is_the_corner_of_its_own_canvas() -> None:
    batch = CanvasBatch(SHAPE, pinned=False)
    assert batch.pixels.shape == (3, 64, 96, 3)
    batch.pixels.zero_()
    assert [photo.shape for photo in batch] == [(64, 96, 3), (1, 5, 3), (50, 33, 3)]
    for number, photo in enumerate(batch, 1):
        photo[...] = number
    pixels = batch.pixels.numpy()
    assert pixels.sum() == 3 * (64 * 96 + 2 * 5 + 3 * 50 * 33)
    for number, (height, width) in enumerate(SHAPE.sizes):
        assert np.all(pixels[number, :height, :width] == number + 1)


def test_groups_beyond_the_bound_get_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvas_batch, "PINNED_BYTES", 2 * SHAPE.bytes + 100)
    small = CanvasShape(Frame(2, 3), [(1, 1)])
    batches = canvas_batches([SHAPE, small, SHAPE, SHAPE, small], pinned=False)
    assert [batch is not None for batch in batches] == [True, True, True, False, True]
    allocated = sum(batch.pixels.nbytes for batch in batches if batch)
    assert allocated <= canvas_batch.PINNED_BYTES


def test_where_there_is_no_memory_photos_get_arrays_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    huge = CanvasShape(Frame(1 << 26, 1 << 26), [(1, 1)] * 16)
    monkeypatch.setattr(canvas_batch, "PINNED_BYTES", 1 << 62)
    assert canvas_batches([huge, SHAPE], pinned=False)[0] is None
