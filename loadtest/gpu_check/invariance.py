"""The stage of shared passes: which give each photo the bits of its single pass, and their cost.

As at a worker's warm-up (`handlers.runtime.warm_up.sameness`), but all is reported: the probe photo
in every position, the canvases with the same signature, large photos, and the times of recording.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from handlers.runtime.network_cuda import CudaNetwork
from handlers.runtime.warm_up.sameness import (
    PROBE_SIZE,
    photo_of,
    rounds,
    sample_frames,
    single_canvases,
)
from handlers.shared.frame import Frame
from handlers.shared.photo import Pixels
from loadtest.gpu_check.catalogue import Scale
from loadtest.gpu_check.networks import lite2, noise
from loadtest.gpu_check.rates import typical_s
from loadtest.gpu_check.results import Check, Fact, Item, Row


def run(scale: Scale) -> Iterator[Item]:
    """Yield a row for each canvas and number of photos; canvases of most photos first."""
    survey = Survey(lite2(scale), scale)
    compared: list[Comparison] = []
    for canvas in map(Frame._make, scale.canvases):
        for images in scale.images:
            compared.append(survey.compare(canvas, images))
            yield survey.row(compared[-1])
    wrong = [one for one in compared if one.change_within > 0]
    seen = ", ".join(f"{one.images} on {one.canvas}" for one in wrong) or "none that differs"
    yield Check(
        "photos whose canvas has the signature of a pass get the same bits", not wrong, seen
    )
    shared = [one for one in compared if one.images > 1]
    usable = sum(one.is_usable for one in shared)
    yield Fact("shared passes that a worker can use", f"{usable} of {len(shared)}")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A pass beside the single passes of the photos that fit its canvas."""

    canvas: Frame
    images: int
    recording_s: float
    positions_alike: bool  # the probe photo has the same scores in each
    own_alike: bool  # the canvas itself has the signature of the pass
    canvases_alike: str
    # of a score of a large photo, as a part of the largest: photos whose canvas has the signature
    # of the pass, and the others
    change_within: float
    change_beyond: float

    @property
    def is_usable(self) -> bool:
        return self.positions_alike and self.own_alike and self.change_within == 0


class Survey:
    """Compares the passes of a network; single passes run once, before any is recorded."""

    def __init__(self, network: CudaNetwork, scale: Scale) -> None:
        self._network, self._scale = network, scale
        self._probe = photo_of(network.frame(PROBE_SIZE))
        self._signature = lru_cache(None)(self._score_probe)
        self._first_s: dict[Frame, float] = {}

    def compare(self, canvas: Frame, images: int) -> Comparison:
        """Record a pass, and compare it with single ones."""
        network = self._network
        photos = [photo_of(frame) for frame in sample_frames(canvas, network)]
        own_canvases = [network.single_canvas(photo.shape[:2]) for photo in photos]
        singles = [
            network.scores([photo], own)[0] for photo, own in zip(photos, own_canvases, strict=True)
        ]
        signatures = {each: self._signature(each) for each in single_canvases(network, canvas)}
        started = time.perf_counter()
        network.prepare(images, canvas)
        network.synchronise()
        recording_s = time.perf_counter() - started
        first, *others = network.scores([self._probe] * images, canvas)
        alike = {each for each, its in signatures.items() if torch.equal(first, its)}
        changes = self._changes(canvas, images, photos, singles)
        within = [each for each, own in zip(changes, own_canvases, strict=True) if own in alike]
        return Comparison(
            canvas,
            images,
            recording_s,
            all(torch.equal(first, other) for other in others),
            network.single_canvas(canvas) in alike,
            f"{len(alike)} of {len(signatures)}",
            max(within, default=0.0),
            max(changes),
        )

    def row(self, one: Comparison) -> Row:
        """Time a pass that is recorded, and forget it."""
        with torch.inference_mode():
            staged = self._network._stage(noise(self._network, one.canvas, one.images), one.canvas)
            pass_s = typical_s(lambda: self._network._pass(staged), self._scale)
        self._network.forget(one.images, one.canvas)
        return Row(
            "Passes beside single ones",
            {
                "canvas": f"{one.canvas.width}x{one.canvas.height}",
                "photos": one.images,
                "first single pass, s": self._first_s[self._network.single_canvas(one.canvas)],
                "recording, s": one.recording_s,
                "pass, ms": pass_s * 1000,
                "photos/s": one.images / pass_s,
                "positions alike": one.positions_alike,
                "own canvas alike": one.own_alike,
                "canvases alike": one.canvases_alike,
                "change within": one.change_within,
                "change beyond": one.change_beyond,
                "usable": one.is_usable,
            },
        )

    def _score_probe(self, canvas: Frame) -> Tensor:
        started = time.perf_counter()
        (scores,) = self._network.scores([self._probe], canvas)
        self._network.synchronise()
        self._first_s[canvas] = time.perf_counter() - started
        return scores

    def _changes(
        self, canvas: Frame, images: int, photos: Sequence[Pixels], singles: Sequence[Tensor]
    ) -> list[float]:
        """Return each photo's largest change in any position."""
        changes = [0.0] * len(photos)
        for indices in rounds(range(len(photos)), images):
            scores = self._network.scores([photos[index] for index in indices], canvas)
            for one, index in zip(scores, indices, strict=True):
                change = (one - singles[index]).abs().max() / one.abs().max()
                changes[index] = max(changes[index], change.item())
        return changes
