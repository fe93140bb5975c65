"""Which passes warm-up measures, in what order: those that traffic needs most come first.

Called by `handlers.runtime.warm_up.run`.
"""

from collections.abc import Sequence
from itertools import product

from handlers.model_config import Batching
from handlers.runtime.network import Network
from handlers.shared.frame import Frame

# photos are seldom longer than this, in widths or heights, and mostly at most 3:2
LONGEST_ASPECT, USUAL_ASPECT = 2, 1.5

Pass = tuple[Frame, int]  # a canvas, and how many photos


def passes(network: Network, batching: Batching) -> list[Pass]:
    """List the passes of 1, 2, 4 ... photos to measure.

    On a processor small canvases come first: they gain most. On a GPU the largest pass comes first,
    into whose memory all others fit; then one photo on each canvas, since every photo may be
    single; then those of usual shapes, with many photos first.
    """
    kind = network.device.kind
    budget = batching.group_pixels.on(kind)
    candidates = [
        (canvas, images)
        for canvas in canvases(batching.ladder.on(kind))
        for images in powers_of_two(
            network.fewest_shared, min(batching.batch_size.on(kind), budget // canvas.pixels)
        )
    ]
    return by_expected_use(candidates) if kind == "cuda" else candidates


def by_expected_use(candidates: Sequence[Pass]) -> list[Pass]:
    largest = max(candidates, key=pixels_of, default=None)
    order = sorted(
        (each for each in candidates if each != largest),
        key=lambda each: (
            each[1] > 1,
            aspect(each[0]) > USUAL_ASPECT and each[1] > 1,
            -each[1],
            -pixels_of(each),
        ),
    )
    return [largest, *order] if largest else []


def pixels_of(one: Pass) -> int:
    canvas, images = one
    return canvas.pixels * images


def aspect(canvas: Frame) -> float:
    return max(canvas) / min(canvas)


def canvases(ladder: Sequence[int]) -> list[Frame]:
    """List the canvases that are worth measuring, small ones first."""
    pairs = (Frame(*sides) for sides in product(ladder, repeat=2))
    usual = (each for each in pairs if aspect(each) <= LONGEST_ASPECT)
    return sorted(usual, key=lambda canvas: canvas.pixels)


def powers_of_two(fewest: int, most: int) -> list[int]:
    """Count 1, 2, 4, 8 ... from `fewest` up to `most`: few passes to measure, and any number is a
    sum of them.
    """
    return [count for power in range(most.bit_length()) if (count := 1 << power) >= fewest]
