"""Whether a shared pass gives photos the bits of their single passes.

The right zeros make both the same sums; the same bits also need the same order of summation, which
libraries choose by the shape of a pass. So warm-up compares bits, in two ways:

- Large photos, in every place of the pass, with their own single passes.
- A *signature*, for the many sizes of smaller photos: the scores of one small probe photo. Where a
  pass has the signature of a canvas in every place, the same kernels sum there, and the photos
  whose single passes run on that canvas may share the pass.

Called by `handlers.runtime.warm_up.run`.
"""

import time
from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from handlers.runtime.network import Network
from handlers.shared.frame import Frame
from handlers.shared.photo import Pixels

SEED = 0
# the probe photo fits every canvas
PROBE_SIZE = (32, 32)

T = TypeVar("T")


class Sample(NamedTuple):
    """A large photo, the canvas of its single pass, and its scores there."""

    photo: Pixels
    single_canvas: Frame
    scores: Tensor


class Sameness:
    """Compares passes of a network; the single passes to compare with run once."""

    def __init__(self, network: Network, until_s: float) -> None:
        """Take the moment (perf_counter) from which on no more single passes are run: photos that
        would need them share no pass.
        """
        self._network, self.until_s = network, until_s
        self._probe = photo_of(network.frame(PROBE_SIZE))
        self._samples = lru_cache(None)(self._score_samples)
        self._signatures: dict[Frame, Tensor] = {}

    def remember(self, canvas: Frame) -> None:
        """Run the single passes on a canvas before its own pass is recorded, which is compared with
        them.
        """
        self._samples(canvas)
        self._signature(canvas)

    def single_canvases(self, canvas: Frame, images: int) -> frozenset[Frame]:
        """Return which photos may share a pass, by the canvases of their single passes; none, where
        photos that fill the canvas may not.
        """
        singles = self._with_same_signature(canvas, images)
        if canvas not in singles:
            return frozenset()
        samples = [each for each in self._samples(canvas) if each.single_canvas in singles]
        is_same = all(self._is_same(canvas, batch) for batch in rounds(samples, images))
        return singles if is_same else frozenset()

    def _is_same(self, canvas: Frame, samples: Sequence[Sample]) -> bool:
        scores = self._network.scores([each.photo for each in samples], canvas)
        return all(map(torch.equal, scores, (each.scores for each in samples)))

    def _with_same_signature(self, canvas: Frame, images: int) -> frozenset[Frame]:
        signature, *others = self._network.scores([self._probe] * images, canvas)
        if not all(torch.equal(signature, other) for other in others):
            return frozenset()
        return frozenset(
            single
            for single in single_canvases(self._network, canvas)
            if (its := self._signature(single)) is not None and torch.equal(signature, its)
        )

    def _signature(self, single: Frame) -> Tensor | None:
        """Score the probe photo on a canvas of single passes; None when the time is over."""
        if single not in self._signatures and time.perf_counter() < self.until_s:
            (self._signatures[single],) = self._network.scores([self._probe], single)
        return self._signatures.get(single)

    def _score_samples(self, canvas: Frame) -> list[Sample]:
        photos = [photo_of(frame) for frame in sample_frames(canvas, self._network)]
        singles = [self._network.single_canvas(each.shape[:2]) for each in photos]
        return [
            Sample(photo, single, self._network.scores([photo], single)[0])
            for photo, single in zip(photos, singles, strict=True)
        ]


def rounds(samples: Sequence[T], images: int) -> list[list[T]]:
    """Put every sample into every place of a batch."""
    return [
        [samples[(first + index) % len(samples)] for index in range(images)]
        for first in range(len(samples))
    ]


def sample_frames(canvas: Frame, network: Network) -> list[Frame]:
    """Return frames that fill the canvas, leave a strip of it, and leave a good part of it."""
    height, width = canvas
    strip = network.stride
    sizes = (
        canvas,
        (max(1, height - strip), max(1, width - strip)),
        (height // 2 + 1, width // 2 + 1),
    )
    return [network.frame(size) for size in sizes]


def single_canvases(network: Network, canvas: Frame) -> list[Frame]:
    """List the canvases on which photos that fit into `canvas` run alone, large ones first."""
    heights, widths = (
        range(step, side + 1, step) for side, step in zip(canvas, PROBE_SIZE, strict=True)
    )
    singles = {network.single_canvas(size) for size in product(heights, widths)}
    return sorted(singles, key=lambda each: each.pixels, reverse=True)


def photo_of(frame: Sequence[int]) -> Pixels:
    """Make noise: no two pixels alike, so that nothing hides a difference."""
    return np.random.default_rng(SEED).integers(0, 256, (*frame, 3), np.uint8)
