"""Photos share a pass only where it gives them the bits of their single passes, whatever their
sizes: shown by networks whose bits depend on the shape of a pass.
"""

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from handlers.model_config import Batching, BatchSize, Ladder
from handlers.runtime.pass_costs import PassCosts
from handlers.runtime.warm_up import run as warm_up_module
from handlers.runtime.warm_up.passes import by_expected_use, passes
from handlers.runtime.warm_up.run import warm_up
from handlers.runtime.warm_up.sameness import Sameness, photo_of
from handlers.shared.frame import Frame
from handlers.stages.plan import plan
from tests.support.worker import FakeNetwork, Pixels

LARGE, SMALL = Frame(128, 128), Frame(32, 32)
# of a canvas, the number of photos, and a photo's position: which kernel computes the photo there
Kernel = Callable[[Frame, int, int], int]


class ShapedNetwork(FakeNetwork):
    """Scores a photo by its mean, with an error in the last bits that depends on the kernel."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        self._kernel = kernel

    def scores(self, photos: Sequence[Pixels], canvas: Frame) -> list[Tensor]:
        self.passes.append(len(photos))
        return [
            torch.tensor(photo.mean() + 1e-12 * self._kernel(canvas, len(photos), position))
            for position, photo in enumerate(photos)
        ]


def by_size(canvas: Frame, _images: int, _position: int) -> int:
    return int(canvas.pixels > 64 * 64)


def same(_canvas: Frame, _images: int, _position: int) -> int:
    return 0


def single_canvases(kernel: Kernel, canvas: Frame = LARGE, images: int = 4) -> frozenset[Frame]:
    return Sameness(ShapedNetwork(kernel), math.inf).single_canvases(canvas, images)


def test_every_photo_may_share_a_pass_of_the_same_kernels() -> None:
    assert len(single_canvases(same)) == 16
    assert SMALL in single_canvases(same)


def test_a_small_photo_on_a_canvas_with_other_kernels_may_not() -> None:
    admitted = single_canvases(by_size)
    assert SMALL not in admitted
    assert admitted == {each for each in single_canvases(same) if by_size(each, 1, 0)}


@pytest.mark.parametrize(
    "kernel",
    [
        pytest.param(lambda _canvas, images, _position: images > 1, id="by-the-number"),
        pytest.param(lambda _canvas, _images, position: position == 3, id="by-the-position"),
        pytest.param(lambda canvas, images, _position: canvas.pixels * images > 9e4, id="by-both"),
    ],
)
def test_a_pass_with_other_kernels_than_single_passes_on_its_canvas_admits_none(
    kernel: Kernel,
) -> None:
    assert single_canvases(kernel, Frame(160, 160)) == frozenset()


def test_without_time_for_their_single_passes_photos_share_nothing() -> None:
    network = ShapedNetwork(same)
    assert Sameness(network, -math.inf).single_canvases(LARGE, 4) == frozenset()
    assert network.passes == [4]


@pytest.fixture(scope="module")
def shaped() -> tuple[ShapedNetwork, PassCosts]:
    """Return a network with three kernels, after a warm-up that found all passes free of cost."""
    network = ShapedNetwork(lambda canvas, images, _: canvas.pixels // 9000 + (images > 4))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(warm_up_module, "pass_ms", lambda _net, photos, *_: 10 + len(photos) / 100)
        batching = Batching(ladder=Ladder(cpu=(32, 64, 128)), batch_size=BatchSize(cpu=8))
        return network, warm_up(network, batching)


sizes = st.tuples(st.integers(1, 140), st.integers(1, 140))


@given(st.lists(sizes, min_size=1, max_size=12))
@settings(deadline=None)
def test_a_planned_pass_never_changes_a_bit(
    shaped: tuple[ShapedNetwork, PassCosts], batch: list[tuple[int, int]]
) -> None:
    network, costs = shaped
    photos = [photo_of(size) for size in batch]
    singles = {index: network.single_canvas(size) for index, size in enumerate(batch)}
    for group in plan(singles, costs):
        together = network.scores([photos[index] for index in group.members], group.canvas)
        for index, scores in zip(group.members, together, strict=True):
            assert torch.equal(scores, *network.scores([photos[index]], singles[index]))


def test_that_plan_shares_passes(shaped: tuple[ShapedNetwork, PassCosts]) -> None:
    network, costs = shaped
    singles = dict.fromkeys(range(4), network.single_canvas((100, 128)))
    assert [group.members for group in plan(singles, costs)] == [(0, 1, 2, 3)]


def test_a_gpu_measures_the_largest_pass_then_single_ones_then_usual_shapes() -> None:
    square, wide = Frame(128, 128), Frame(128, 256)
    candidates = [(canvas, images) for canvas in (square, wide) for images in (1, 2, 4)]
    assert by_expected_use(candidates) == [
        (wide, 4),
        (wide, 1),
        (square, 1),
        (square, 4),
        (square, 2),
        (wide, 2),
    ]


def test_a_processor_measures_small_canvases_first() -> None:
    batching = Batching(ladder=Ladder(cpu=(32, 64)), batch_size=BatchSize(cpu=2))
    canvases = [canvas for canvas, _ in passes(FakeNetwork(), batching)]
    assert canvases == sorted(canvases, key=lambda each: each.pixels)
