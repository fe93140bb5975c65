"""Warm-up before the first request: measures forward passes, and finds those that photos may share.

A pass that several photos share is admitted only if it is faster than single passes and its scores
equal theirs bit for bit: kernels differ between shapes and machines, so a comparison keeps the
promise. The same photos always make the same answers; only which passes are used may differ between
two starts, since times do. Called by `handlers.pipeline`.
"""

import logging
import time
from collections.abc import Sequence
from functools import lru_cache
from itertools import product

import numpy as np
import torch
from torch import Tensor

from handlers.model_config import Batching
from handlers.runtime.device_errors import Failure, diagnose
from handlers.runtime.network import Network
from handlers.runtime.pass_costs import PassCosts
from handlers.shared.frame import Frame
from handlers.shared.photo import Pixels

logger = logging.getLogger(__name__)

# two frames far apart, for the line through their times
SMALL, LARGE = Frame(128, 128), Frame(384, 512)
# all passes are compared with single ones, so these are timed most carefully
SINGLE_REPEATS, SHARED_REPEATS = 8, {"cpu": 1, "cuda": 3}
# passes that take longer together need no repeating: what disturbs them is small beside them
LONG_ENOUGH_S = 1.0
# photos are seldom longer than this, in widths or heights
LONGEST_ASPECT = 2
# of `sample_frames`
SAMPLE_FRAMES = 3
# a worker that restarts must answer soon; a pass not measured by then is not shared. On a
# processor large canvases, which come last, gain nothing that could be measured. A GPU's library
# takes a second or so to choose the kernels of a canvas, and without shared passes it idles
LONGEST_S = {"cpu": 5.0, "cuda": 40.0}
SEED = 0


def warm_up(network: Network, batching: Batching) -> PassCosts:
    """Measure single passes, then every shared pass that the ladder and the budget allow."""
    started = time.perf_counter()
    single = single_costs(network)
    kind = network.device.kind
    measurement = SharedPassMeasurement(network, single, exact=batching.exact)
    shared_ms: dict[tuple[Frame, int], float] = {}
    for canvas, images in passes(network, batching):
        measurement_s = single.single_ms(canvas) * measurement.photos(images) / 1000
        if time.perf_counter() - started + measurement_s > LONGEST_S[kind]:
            logger.info("no more time to warm up: photos on %dx%d and on stay unshared", *canvas)
            break
        if ms := measurement.ms(canvas, images):
            shared_ms[canvas, images] = ms
        else:
            network.forget(images, canvas)
    logger.info(
        "warmed up in %.1f s: single passes take %.1f ms + %.0f ns a pixel, %d shared ones "
        "admitted",
        time.perf_counter() - started,
        single.launch_ms,
        single.ms_per_pixel * 1e6,
        len(shared_ms),
    )
    return PassCosts(single.launch_ms, single.ms_per_pixel, batching.ladder.on(kind), shared_ms)


def single_costs(network: Network) -> PassCosts:
    """Measure passes of a single photo."""
    small_ms, large_ms = (single_pass_ms(network, frame) for frame in (SMALL, LARGE))
    ms_per_pixel = max(0.0, large_ms - small_ms) / (LARGE.pixels - SMALL.pixels)
    return PassCosts(max(0.0, small_ms - ms_per_pixel * SMALL.pixels), ms_per_pixel)


def single_pass_ms(network: Network, frame: Frame) -> float:
    photo = photo_of(frame)
    network.scores([photo], frame)  # prepares the kernels of this shape
    return pass_ms(network, [photo], frame, SINGLE_REPEATS)


def passes(network: Network, batching: Batching) -> list[tuple[Frame, int]]:
    """List the passes of 1, 2, 4 ... photos to measure, on small canvases first: they gain most.

    A GPU's come from the largest down: each recorded one then fits into memory of those before.
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
    if kind == "cuda":
        candidates.sort(key=lambda each: each[0].pixels * each[1], reverse=True)
    return candidates


def canvases(ladder: Sequence[int]) -> list[Frame]:
    """List the canvases that are worth measuring, small ones first: they gain most."""
    pairs = (Frame(*sides) for sides in product(ladder, repeat=2))
    usual = (each for each in pairs if max(each) <= LONGEST_ASPECT * min(each))
    return sorted(usual, key=lambda canvas: canvas.pixels)


class SharedPassMeasurement:
    """Measures shared passes; the single passes to compare with run once a canvas."""

    def __init__(self, network: Network, single: PassCosts, *, exact: bool) -> None:
        self._network, self._single, self._exact = network, single, exact
        self._repeats = SHARED_REPEATS[network.device.kind]
        self._references = lru_cache(None)(self._score_references)

    def ms(self, canvas: Frame, images: int) -> float | None:
        """Time a pass; None where it fails, is not exact, or no faster than single ones."""
        photos, _ = self._references(canvas)
        try:
            self._network.prepare(images, canvas)
            same = all(self._is_same(canvas, samples) for samples in rounds(images))
            batch = [photos[sample] for sample in rounds(images)[0]]
            ms = pass_ms(self._network, batch, canvas, self._repeats)
        except RuntimeError as error:
            failure = diagnose(error)
            if failure is Failure.device_lost:
                raise
            why = "no memory for it" if failure is Failure.no_memory else error
            logger.warning("%s, so not used: %d photos on %dx%d", why, images, *canvas)
            return None
        if self._exact and not same:
            logger.warning("not exact, so not used: %d photos on %dx%d", images, *canvas)
            return None
        return ms if ms < images * self._single.single_ms(canvas) else None

    def photos(self, images: int) -> int:
        """Count the photos that a measurement puts through the network."""
        return SAMPLE_FRAMES + images * (len(rounds(images)) + self._repeats)

    def _is_same(self, canvas: Frame, samples: Sequence[int]) -> bool:
        photos, references = self._references(canvas)
        scores = self._network.scores([photos[sample] for sample in samples], canvas)
        return all(map(torch.equal, scores, (references[sample] for sample in samples)))

    def _score_references(self, canvas: Frame) -> tuple[list[Pixels], list[Tensor]]:
        photos = [photo_of(frame) for frame in sample_frames(canvas, self._network)]
        frames = [self._network.frame(photo.shape[:2]) for photo in photos]
        scores = [
            self._network.scores([photo], frame)[0]
            for photo, frame in zip(photos, frames, strict=True)
        ]
        return photos, scores


def rounds(images: int) -> list[list[int]]:
    """Put every sample frame into some batch of so many: indices of `sample_frames`."""
    return [
        [(first + index) % SAMPLE_FRAMES for index in range(images)]
        for first in range(0, SAMPLE_FRAMES, images)
    ]


def powers_of_two(fewest: int, most: int) -> list[int]:
    """Count 1, 2, 4, 8 ... from `fewest` up to `most`: few passes to measure, and any number is a
    sum of them.
    """
    return [count for power in range(most.bit_length()) if (count := 1 << power) >= fewest]


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


def photo_of(frame: Frame) -> Pixels:
    """Make noise: no two pixels alike, so that nothing hides a difference."""
    return np.random.default_rng(SEED).integers(0, 256, (*frame, 3), np.uint8)


def pass_ms(network: Network, photos: Sequence[Pixels], canvas: Frame, repeats: int) -> float:
    """Return the time of the fastest of a few passes of a shape that has run before.

    On a processor the CPU time of this thread, which works or spins all through a pass: what other
    programs take meanwhile does not count.
    """
    clock = time.perf_counter if network.device.kind == "cuda" else time.thread_time
    times: list[float] = []
    while len(times) < repeats and sum(times) < LONG_ENOUGH_S * 1000:
        started = clock()
        network.scores(photos, canvas)
        network.synchronise()
        times.append((clock() - started) * 1000)
    return min(times)
