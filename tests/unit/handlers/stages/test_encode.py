"""A label map becomes the PNG that the job asked for."""

import io
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from handlers.job import Job
from handlers.net.exact.geometry import Place
from handlers.runtime.upsample import read
from handlers.shared.wire import WorkerOptions
from handlers.stages.decode import open_photo
from handlers.stages.encode import Labelled, count_classes, encode
from tests.support.worker import CLASSES, plain

PLACE = Place(3.5, 8)  # of the scores, in a frame of the SAME networks

PALETTE = bytes(range(3 * CLASSES))
WORKING_MAX_SIDE = 40


def labelled(options: WorkerOptions, size: tuple[int, int] = (60, 80)) -> Labelled:
    opened = open_photo(Job(plain(size, 0), options), WORKING_MAX_SIDE)
    scores = torch.randn(CLASSES, 4, 8, generator=torch.Generator().manual_seed(3))
    return Labelled(partial(read, scores, PLACE, opened.working_size, opened.wanted), opened)


def test_a_mask_is_an_indexed_png_with_the_models_palette() -> None:
    given = labelled(WorkerOptions())
    assert given.opened.working_size == (30, 40)
    with Image.open(io.BytesIO(encode(given, PALETTE).png)) as image:
        assert image.mode == "P"
        assert bytes(image.getpalette() or [])[: len(PALETTE)] == PALETTE
        np.testing.assert_array_equal(np.asarray(image), given.reading().labels)


def test_with_confidence_it_is_grey_and_alpha() -> None:
    given = labelled(WorkerOptions(output="confidence"))
    labels, confidence, _ = given.reading()
    assert confidence is not None
    with Image.open(io.BytesIO(encode(given, PALETTE).png)) as image:
        assert image.mode == "LA"
        np.testing.assert_array_equal(np.asarray(image), np.dstack((labels, confidence)))


@pytest.mark.parametrize("output", ["mask", "confidence"])
def test_the_same_scores_give_the_same_bytes(output: str) -> None:
    options = WorkerOptions.model_validate({"output": output})
    assert encode(labelled(options), PALETTE) == encode(labelled(options), PALETTE)


@pytest.mark.parametrize("output", ["mask", "confidence"])
def test_a_mask_tells_how_many_of_its_pixels_have_which_class(output: str) -> None:
    given = labelled(WorkerOptions.model_validate({"output": output}))
    numbers, pixels = np.unique(given.reading().labels, return_counts=True)
    found = dict(zip(numbers.tolist(), pixels.tolist(), strict=True))
    assert encode(given, PALETTE).class_pixels == found
    assert sum(found.values()) == 60 * 80


def test_a_class_that_is_not_seen_is_not_told_of() -> None:
    assert count_classes(np.full((3, 5), 255, np.uint8)) == {255: 15}
