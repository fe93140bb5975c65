"""Measures at warm-up how fast a worker decodes, labels and encodes, for `handlers.shared.cost`.

Each format's decoder is timed on a smooth picture and on noise. They have the same number of pixels
and different numbers of bytes, so the two times give the cost of a pixel and of a byte. Forward
passes have been measured by `handlers.runtime.warm_up.run`. All times are CPU time of one thread,
as codecs run beside the network: what else the machine does meanwhile counts little. Called by
`handlers.pipeline`.
"""

import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from handlers.runtime.labels import OutputRequest
from handlers.runtime.network import Network
from handlers.runtime.pass_costs import PassCosts
from handlers.shared import photo
from handlers.shared.cost import MEGA, CostRates, DecodeRate
from handlers.shared.photo import Pixels
from handlers.shared.png import write_grey_alpha, write_indexed

SIDE = 256
# a photo is seldom smaller than its working size, and a large one costs by its own size
ENLARGED = 3
REPEATS = 3
SEED = 0
# AVIF's writer takes a hundred times what its reader does, unless set to its fastest
WRITER_OPTIONS: dict[str, dict[str, Any]] = {"avif": {"speed": 10}, "jpeg": {"quality": 90}}


def measure_rates(network: Network, passes: PassCosts) -> CostRates:
    """Time every decoder, and everything from scores to a PNG."""
    formats = sorted(photo.DEFAULT_FORMATS | photo.OPTIONAL_FORMATS)
    labels_s, confidence_s = (labels_rate(network, confidence=each) for each in (False, True))
    return CostRates(
        decode={name: decode_rate(name) for name in formats},
        pass_s=rounded(passes.launch_ms / 1000),
        forward_s_per_megapixel=rounded(passes.ms_per_pixel * MEGA / 1000),
        labels_s_per_megapixel=rounded(labels_s),
        confidence_s_per_megapixel=rounded(confidence_s - labels_s),
    )


def decode_rate(name: str) -> DecodeRate:
    """Fit one format's seconds to two pictures' pixels and bytes."""
    bodies = [write(pixels, name) for pixels in (smooth(), noise())]
    few_s, many_s = map(decode_s, bodies)
    few, many = (len(body) / MEGA for body in bodies)
    per_byte = max(0.0, many_s - few_s) / (many - few) if many > few else 0.0
    at_least_s = few_s if many > few else max(few_s, many_s)
    return DecodeRate(
        s_per_megapixel=rounded((at_least_s - few * per_byte) / megapixels()),
        s_per_megabyte=rounded(per_byte),
    )


def labels_rate(network: Network, *, confidence: bool) -> float:
    """Time everything from scores to a PNG: seconds per megapixel. A GPU's worker only waits."""
    pixels, size = noise(), (ENLARGED * SIDE, ENLARGED * SIDE)
    canvas = network.single_canvas(pixels.shape[:2])
    request = OutputRequest(size, confidence=confidence)
    (pending,) = network.label([pixels], [request], canvas)

    def encode() -> bytes:
        labels, levels = pending.read()
        if levels is None:
            return write_indexed(labels, bytes(3))
        return write_grey_alpha(labels, levels)

    return least_s(encode) / (megapixels() * ENLARGED**2)


def decode_s(body: bytes) -> float:
    header = photo.read_header(body, photo.DEFAULT_FORMATS | photo.OPTIONAL_FORMATS)
    working = photo.fit(header.height, header.width, SIDE // ENLARGED)
    return least_s(lambda: photo.reduce(photo.decode(body, header), working))


def least_s(work: Callable[[], object]) -> float:
    """Return the CPU seconds of this thread in the quickest of a few runs."""
    times = []
    for _ in range(REPEATS):
        started = time.thread_time()
        work()
        times.append(time.thread_time() - started)
    return min(times)


def rounded(seconds: float) -> float:
    """Round to microseconds; noise below zero becomes zero."""
    return round(max(0.0, seconds), 6)


def megapixels() -> float:
    return SIDE * SIDE / MEGA


def write(pixels: Pixels, name: str) -> bytes:
    file = io.BytesIO()
    # a GIF is grey here: choosing its colours takes longer than all the rest
    image = Image.fromarray(pixels[..., 0] if name == "gif" else pixels)
    image.save(file, name, **WRITER_OPTIONS.get(name, {}))
    return file.getvalue()


def smooth() -> Pixels:
    """Make a picture that compresses well: (SIDE, SIDE, 3)."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] * 255 // SIDE
    return np.dstack((rows, columns, (rows + columns) // 2)).astype(np.uint8)


def noise() -> Pixels:
    """Make a picture that does not compress: (SIDE, SIDE, 3)."""
    return np.random.default_rng(SEED).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
