"""A pixel has the bits of the processor's interpolation, whatever else is in its group."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from handlers.net.exact.geometry import PHOTO, Placement
from handlers.runtime.labels import OutputRequest
from handlers.runtime.upsample import gpu
from handlers.runtime.upsample.gpu import ScoredPhoto, label_pixels, pack_tables, split_labels
from handlers.runtime.upsample.processor import ScoreGrid
from tests.support.worker import CLASSES

COARSE = Placement(3.5, 8)
MAP = (9, 11)  # of the canvas' scores
LEVELS = 255
FEW = 5
CHUNK_BYTES = 8 << 20

cuda = pytest.param(
    "cuda",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU here"),
    ],
)
on_each_device = pytest.mark.parametrize("device", ["cpu", cuda])

Made = tuple[Tensor, Tensor | None]


def photo(working: tuple[int, int], size: tuple[int, int], *, confidence: bool) -> ScoredPhoto:
    """A photo whose scores are eight pixels apart."""
    points = (-(-working[0] // 8), -(-working[1] // 8))
    return ScoredPhoto(working, points, OutputRequest(size, confidence))


PHOTOS = [
    photo((72, 88), (72, 88), confidence=False),
    photo((40, 60), (75, 91), confidence=True),
    photo((1, 1), (1, 1), confidence=False),
    photo((33, 7), (200, 13), confidence=False),
    photo((70, 80), (140, 159), confidence=True),
    photo((5, 88), (1, 300), confidence=False),
]

workings = st.tuples(st.integers(1, 8 * MAP[0]), st.integers(1, 8 * MAP[1]))
sizes = st.tuples(st.integers(1, 60), st.integers(1, 60))
photos = st.builds(photo, workings, sizes, confidence=st.booleans())


def scores_of(images: int, map_size: tuple[int, int] = MAP, classes: int = CLASSES) -> Tensor:
    noise = torch.Generator().manual_seed(5)
    return 4 * torch.randn(images, classes, *map_size, generator=noise)


def make(
    scores: Tensor, group: Sequence[ScoredPhoto], placement: Placement = COARSE, device: str = "cpu"
) -> list[Made]:
    map_size = (scores.shape[2], scores.shape[3])
    packed = pack_tables(group, placement, map_size).to(device)
    made = label_pixels(scores.to(device), packed, group).cpu()
    return split_labels(made, group)


def own_scores(scores: Tensor, one: ScoredPhoto) -> Tensor:
    return scores[:, : one.points[0], : one.points[1]]


def every_score(scores: Tensor, one: ScoredPhoto, placement: Placement = COARSE) -> Tensor:
    """Interpolate every pixel as the processor does: (H W, classes)."""
    grid = ScoreGrid(own_scores(scores, one), placement, one.working, one.request.size)
    return grid._interpolate(torch.arange(one.pixels))


def assert_same(made: Sequence[Made], expected: Sequence[Made]) -> None:
    for (labels, levels), (other, other_levels) in zip(made, expected, strict=True):
        assert torch.equal(labels, other)
        assert (levels is None) == (other_levels is None)
        assert levels is None or other_levels is None or torch.equal(levels, other_levels)


@settings(max_examples=30, deadline=None)
@given(st.lists(photos, min_size=1, max_size=4), st.integers(1, 3000))
def test_labels_are_the_argmax_of_the_processors_interpolation(
    group: list[ScoredPhoto], chunk_pixels: int
) -> None:
    scores = scores_of(len(group))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(gpu, "CHUNK_BYTES", chunk_pixels * (4 * CLASSES + gpu.PIXEL_BYTES))
        made = make(scores, group)
    for (labels, levels), own, one in zip(made, scores, group, strict=True):
        every = every_score(own, one)
        assert torch.equal(labels.flatten().long(), every.argmax(1))
        assert (levels is not None) == one.request.confidence
        if levels is not None:
            expected = every.double().softmax(1).amax(1) * LEVELS
            assert (levels.flatten() - expected).abs().max() <= 0.5 + 1e-3


@on_each_device
def test_a_photo_has_the_same_bits_in_any_group_and_position(device: str) -> None:
    scores = scores_of(len(PHOTOS))
    together = make(scores, PHOTOS, device=device)
    for order in ([5, 4, 3, 2, 1, 0], [3, 1], [4], [0, 2], [5]):
        some = make(scores[order], [PHOTOS[index] for index in order], device=device)
        assert_same(some, [together[index] for index in order])


@on_each_device
def test_what_lies_around_a_photos_scores_changes_nothing(device: str) -> None:
    scores = scores_of(len(PHOTOS))
    dirty = torch.full_like(scores, float("nan"))
    for own, source, one in zip(dirty, scores, PHOTOS, strict=True):
        own_scores(own, one).copy_(own_scores(source, one))
    dirty = dirty.contiguous(memory_format=torch.channels_last)  # as networks have it
    assert_same(make(dirty, PHOTOS, device=device), make(scores, PHOTOS, device=device))


@on_each_device
def test_labels_are_those_that_a_processor_serves(device: str) -> None:
    scores = scores_of(len(PHOTOS))
    for (labels, levels), own, one in zip(
        make(scores, PHOTOS, device=device), scores, PHOTOS, strict=True
    ):
        grid = ScoreGrid(own_scores(own, one), COARSE, one.working, one.request.size)
        served = grid.labels()
        assert (labels == served).float().mean() > 0.999
        if levels is not None:
            off = levels.int() - grid.confidence().int()
            assert off.abs()[labels == served].max() <= 1


def test_a_network_with_a_score_for_every_pixel_is_sampled_too() -> None:
    group = [
        ScoredPhoto((30, 40), (32, 64), OutputRequest((75, 90))),
        ScoredPhoto((64, 64), (64, 64), OutputRequest((64, 64))),
    ]
    scores = scores_of(2, (64, 64))
    (reduced, _), (labels, _) = make(scores, group, PHOTO)
    expected = every_score(scores[0], group[0], PHOTO).argmax(1)
    assert torch.equal(reduced.flatten().long(), expected)
    assert torch.equal(labels.long(), scores[1].argmax(0))


def test_the_first_of_equal_classes_is_taken() -> None:
    scores = torch.zeros(1, CLASSES, *MAP)
    scores[0, [5, 9]] = 1
    ((labels, _),) = make(scores, PHOTOS[:1])
    assert set(labels.flatten().tolist()) == {5}


def test_scores_that_are_no_numbers_have_no_confidence() -> None:
    ((_, levels),) = make(torch.full((1, CLASSES, *MAP), float("nan")), PHOTOS[1:2])
    assert levels is not None
    assert set(levels.flatten().tolist()) == {0}


def test_tables_of_photos_beyond_two_gigapixels_do_not_overflow() -> None:
    large = photo((72, 88), (65_000, 50_000), confidence=False)
    packed = pack_tables([large, PHOTOS[0]], COARSE, MAP)
    ends = gpu.unpack_tables(packed, [large, PHOTOS[0]]).row_ends
    assert ends[-1] == large.pixels + PHOTOS[0].pixels
    assert np.all(np.diff(ends.numpy()) > 0)


@pytest.mark.parametrize("classes", [2, 21, 150])
def test_memory_is_bounded_whatever_the_number_of_classes(
    monkeypatch: pytest.MonkeyPatch, classes: int
) -> None:
    monkeypatch.setattr(gpu, "CHUNK_BYTES", CHUNK_BYTES)
    scores, group = scores_of(1, classes=classes), [photo((72, 88), (900, 700), confidence=False)]
    packed = pack_tables(group, COARSE, MAP)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        label_pixels(scores, packed, group)
    assert profiled.profiler is not None
    assert profiled.profiler.kineto_results is not None
    events = profiled.profiler.kineto_results.events()
    changes = [event.nbytes() for event in events if event.name() == "[memory]"]
    most = max(itertools.accumulate(changes))
    labels_bytes = 900 * 700
    assert CHUNK_BYTES / 2 < most - labels_bytes < 1.1 * CHUNK_BYTES


def test_a_group_takes_as_many_operations_as_one_photo() -> None:
    def operations(group: Sequence[ScoredPhoto]) -> int:
        scores, packed = scores_of(len(group)), pack_tables(group, COARSE, MAP)
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            label_pixels(scores, packed, group)
        return len(profiled.events() or ())

    plain, confident = PHOTOS[0], PHOTOS[1]
    assert operations([plain] * 16) <= operations([plain]) + FEW
    assert operations([confident] * 16) <= operations([confident]) + FEW
