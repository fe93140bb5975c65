"""Labels by cells equal the labels of full upsampling: by 8, then argmax of every pixel."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from handlers.net.exact.geometry import PHOTO, Placement
from handlers.runtime.upsample import confidence as confidence_module
from handlers.runtime.upsample import processor as labels_module
from handlers.runtime.upsample.processor import ScoreGrid
from handlers.shared.frame import Frame
from tests.support.reference import reference_scores, upsample
from tests.support.worker import CLASSES, WEIGHTS, sample

PLACEMENT = Placement(3.5, 8)  # of the scores, in a frame of the SAME networks

Size = tuple[int, int]

# a label may be another only where its score is the best within this: sums of four in fp32
TIE = 1e-5
CONFIDENCE_LEVELS = 1  # of 255: a probability may round to the other side

SIZES = [(1, 1), (1, 3000), (3000, 1), (8, 8), (32, 32), (33, 31), (61, 83), (200, 7)]
each_size = pytest.mark.parametrize("size", SIZES, ids=str)


def random_scores(working: Size, seed: int = 0, classes: int = CLASSES) -> Tensor:
    """Scores of a frame, coarse enough to have whole regions of one class."""
    frame = Frame.of(working, 32)
    noise = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(classes, frame.height // 8, frame.width // 8, generator=noise)


def at_own_size(scores: Tensor, size: Size) -> Tensor:
    """Upsample as the paper does: (classes, H, W)."""
    return upsample(scores[None], 8)[0, :, : size[0], : size[1]]


def sampled(scores: Tensor, working: Size, size: Size) -> Tensor:
    """Interpolate at each pixel of `size`, in float64: (classes, H, W)."""
    rows = hats(scores.shape[1], working[0], size[0])
    columns = hats(scores.shape[2], working[1], size[1])
    return torch.from_numpy(rows @ scores.double().numpy() @ columns.T)


def hats(points: int, working: int, pixels: int) -> NDArray[np.float64]:
    """Weigh each score for each pixel of an axis, a triangle around it: (pixels, points)."""
    centres = (np.arange(pixels) + 0.5) * working / pixels
    scores = 8 * np.arange(points) + 4.0
    return np.maximum(0, 1 - np.abs(centres[:, None] - scores) / 8)


def assert_best(labels: Tensor, full: Tensor) -> None:
    chosen = full.gather(0, labels[None].long())[0]
    assert (full.amax(0) - chosen).max().item() <= TIE


@each_size
def test_labels_are_those_of_full_upsampling(size: Size) -> None:
    scores = random_scores(size)
    labels = ScoreGrid(scores, PLACEMENT, size, size).labels()
    assert tuple(labels.shape) == size
    assert labels.dtype == torch.uint8
    assert_best(labels, at_own_size(scores, size))


@settings(max_examples=60)
@given(st.integers(1, 130), st.integers(1, 130), st.integers(2, 40), st.integers(0, 1000))
def test_labels_are_those_of_full_upsampling_at_any_size(
    height: int, width: int, classes: int, seed: int
) -> None:
    scores = random_scores((height, width), seed, classes)
    labels = ScoreGrid(scores, PLACEMENT, (height, width), (height, width)).labels()
    assert_best(labels, at_own_size(scores, (height, width)))


@pytest.mark.parametrize("name", ["cat", "astronaut"])
def test_labels_of_a_sample_photo_are_those_of_full_upsampling(name: str) -> None:
    photo = sample(name)
    size = (photo.shape[0], photo.shape[1])
    scores = reference_scores(photo, WEIGHTS)
    labels = ScoreGrid(scores, PLACEMENT, size, size).labels()
    full = at_own_size(scores, size)
    assert_best(labels, full)
    assert (labels == full.argmax(0)).float().mean().item() >= 0.99999


@settings(max_examples=60)
@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(st.floats(1, 9), st.floats(1, 9)),
    st.integers(0, 1000),
)
def test_a_reduced_photo_is_sampled_at_its_own_pixels(
    working: Size, zoom: tuple[float, float], seed: int
) -> None:
    size = (int(working[0] * zoom[0]), int(working[1] * zoom[1]))
    scores = random_scores(working, seed)
    assert_best(
        ScoreGrid(scores, PLACEMENT, working, size).labels(), sampled(scores, working, size)
    )


@pytest.mark.parametrize(
    ("working", "size"),
    [
        pytest.param((1, 768), (1, 3000), id="one-row"),
        pytest.param((768, 1), (3000, 1), id="one-column"),
        pytest.param((1, 1), (50, 70), id="one-pixel"),
        pytest.param((96, 64), (97, 65), id="one-less"),
    ],
)
def test_extremely_reduced_photos_are_sampled_too(working: Size, size: Size) -> None:
    scores = random_scores(working)
    assert_best(
        ScoreGrid(scores, PLACEMENT, working, size).labels(), sampled(scores, working, size)
    )


@pytest.mark.parametrize("stride", [16, 32])
def test_coarser_scores_are_sampled_too(stride: int) -> None:
    size = (61, 83)
    frame = Frame.of(size, 32)
    noise = torch.Generator().manual_seed(1)
    scores = torch.randn(CLASSES, frame.height // stride, frame.width // stride, generator=noise)
    labels = ScoreGrid(scores, Placement((stride - 1) / 2, stride), size, size).labels()
    assert_best(labels, upsample(scores[None], stride)[0, :, : size[0], : size[1]])


def test_scores_of_every_pixel_are_not_interpolated() -> None:
    size = (61, 83)
    scores = torch.randn(CLASSES, 64, 96, generator=torch.Generator().manual_seed(1))
    grid = ScoreGrid(scores, PHOTO, size, size)
    labels = grid.labels()
    assert torch.equal(labels.long(), scores[:, :61, :83].argmax(0))
    expected = scores[:, :61, :83].softmax(0).amax(0) * 255
    assert (grid.confidence().float() - expected).abs().max().item() <= CONFIDENCE_LEVELS


def test_scores_of_every_pixel_do_not_fade_at_the_edge_of_a_larger_photo() -> None:
    scores = torch.zeros(CLASSES, 30, 30)
    scores[7] = 4
    grid = ScoreGrid(scores, PHOTO, (30, 30), (75, 95))
    labels = grid.labels()
    assert set(labels.flatten().tolist()) == {7}
    assert len(set(grid.confidence().flatten().tolist())) == 1


def test_scores_that_agree_everywhere_need_no_interpolation() -> None:
    scores = torch.zeros(CLASSES, 4, 4)
    scores[7] = 1
    assert ScoreGrid(scores, PLACEMENT, (30, 30), (30, 30)).labels().numpy().tolist() == 30 * [
        30 * [7]
    ]


def test_the_first_of_equal_classes_is_taken() -> None:
    scores = torch.zeros(CLASSES, 4, 4)
    scores[5] = scores[9] = 1
    assert ScoreGrid(scores, PLACEMENT, (30, 30), (60, 61)).labels().numpy().tolist() == 60 * [
        61 * [5]
    ]


@pytest.mark.parametrize(
    ("working", "size"),
    [
        pytest.param((1, 1), (1, 1), id="1x1"),
        pytest.param((61, 83), (61, 83), id="own-size"),
        pytest.param((61, 83), (122, 170), id="reduced"),
        pytest.param((1, 768), (1, 3000), id="one-row"),
        pytest.param((768, 1), (3000, 1), id="one-column"),
        pytest.param((40, 30), (600, 451), id="much-reduced"),
    ],
)
def test_confidence_is_the_softmax_of_the_interpolated_scores(working: Size, size: Size) -> None:
    scores = random_scores(working)
    grid = ScoreGrid(scores, PLACEMENT, working, size)
    labels = grid.labels()
    confidence = grid.confidence()
    assert confidence.dtype == torch.uint8
    expected = sampled(scores, working, size).softmax(0).gather(0, labels[None].long())[0]
    difference = (confidence.double() - expected * 255).abs().max().item()
    assert difference <= CONFIDENCE_LEVELS / 2 + 1e-3


@pytest.mark.parametrize("spread", [1, 40, 1000], ids=str)
def test_confidence_is_right_for_scores_at_any_distance(spread: int) -> None:
    working, size = (40, 30), (160, 121)
    scores = spread * random_scores(working)
    confidence = ScoreGrid(scores, PLACEMENT, working, size).confidence()
    expected = sampled(scores, working, size).softmax(0).amax(0)
    assert (confidence.double() - expected * 255).abs().max().item() <= CONFIDENCE_LEVELS


@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=str)
def test_scores_that_are_no_numbers_have_no_confidence(value: float) -> None:
    scores = random_scores((40, 30))
    scores[3] = value
    confidence = ScoreGrid(scores, PLACEMENT, (40, 30), (40, 30)).confidence()
    assert set(confidence.flatten().tolist()) == {0}


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 24])
def test_the_sizes_of_chunks_and_strips_change_nothing(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    grid = ScoreGrid(random_scores((20, 30)), PLACEMENT, (20, 30), (40, 61))
    labels, confidence = grid.labels(), grid.confidence()
    monkeypatch.setattr(labels_module, "CHUNK_PIXELS", size)
    monkeypatch.setattr(confidence_module, "STRIP_TERMS", size)
    assert torch.equal(grid.labels(), labels)
    assert torch.equal(grid.confidence(), confidence)
