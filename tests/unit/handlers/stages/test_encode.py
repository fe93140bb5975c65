"""Labels become the PNG that the job asked for."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from handlers.job import Job
from handlers.net.exact.geometry import Placement
from handlers.runtime.upsample.processor import InterpolatedLabels
from handlers.shared.wire import WorkerOptions
from handlers.stages.decode import open_photo
from handlers.stages.encode import count_classes, encode
from tests.support.worker import CLASSES, plain

PLACEMENT = Placement(3.5, 8)  # of the scores, in a frame of the SAME networks

PALETTE = bytes(range(3 * CLASSES))
WORKING_MAX_SIDE = 40


def pending(options: WorkerOptions, size: tuple[int, int] = (60, 80)) -> InterpolatedLabels:
    photo = open_photo(Job(plain(size, 0), options), WORKING_MAX_SIDE)
    scores = torch.randn(CLASSES, 4, 8, generator=torch.Generator().manual_seed(3))
    return InterpolatedLabels(scores, PLACEMENT, photo.working_size, photo.output_request)


def test_a_mask_is_an_indexed_png_with_the_models_palette() -> None:
    given = pending(WorkerOptions())
    assert given.working == (30, 40)
    with Image.open(io.BytesIO(encode(given, PALETTE).png)) as image:
        assert image.mode == "P"
        assert bytes(image.getpalette() or [])[: len(PALETTE)] == PALETTE
        np.testing.assert_array_equal(np.asarray(image), given.read()[0])


def test_with_confidence_it_is_grey_and_alpha() -> None:
    given = pending(WorkerOptions(output="confidence"))
    labels, confidence = given.read()
    assert confidence is not None
    with Image.open(io.BytesIO(encode(given, PALETTE).png)) as image:
        assert image.mode == "LA"
        np.testing.assert_array_equal(np.asarray(image), np.dstack((labels, confidence)))


@pytest.mark.parametrize("output", ["mask", "confidence"])
def test_the_same_scores_give_the_same_bytes(output: str) -> None:
    options = WorkerOptions.model_validate({"output": output})
    assert encode(pending(options), PALETTE) == encode(pending(options), PALETTE)


@pytest.mark.parametrize("output", ["mask", "confidence"])
def test_a_mask_counts_its_pixels_by_class(output: str) -> None:
    given = pending(WorkerOptions.model_validate({"output": output}))
    numbers, pixels = np.unique(given.read()[0], return_counts=True)
    expected = dict(zip(numbers.tolist(), pixels.tolist(), strict=True))
    assert encode(given, PALETTE).class_pixels == expected
    assert sum(expected.values()) == 60 * 80


def test_a_class_without_pixels_is_not_counted() -> None:
    assert count_classes(np.full((3, 5), 255, np.uint8)) == {255: 15}
