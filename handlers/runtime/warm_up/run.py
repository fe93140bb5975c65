"""Measures forward passes before the first request, and finds those that photos may share.

A pass that several photos share is admitted only if it is faster than single passes and its scores
equal theirs bit for bit (`handlers.runtime.warm_up.sameness`). The same photos always make the same
answers; only which passes are used may differ between two starts, since times do. Called by
`handlers.pipeline` and, later, by `handlers.runtime.warm_up.idle`.
"""

import logging
import time
from collections import deque
from collections.abc import Sequence

from handlers.model_config import Batching
from handlers.runtime.device_errors import Failure, diagnose
from handlers.runtime.network import Network
from handlers.runtime.pass_costs import PassCosts, SharedPass
from handlers.runtime.warm_up.passes import passes
from handlers.runtime.warm_up.sameness import Sameness, photo_of
from handlers.shared.frame import Frame
from handlers.shared.photo import Pixels

logger = logging.getLogger(__name__)

# two frames far apart, for the line through their times
SMALL, LARGE = Frame(128, 128), Frame(384, 512)
# all passes are compared with single ones, so these are timed most carefully
SINGLE_REPEATS, SHARED_REPEATS = 8, {"cpu": 1, "cuda": 3}
# passes that take longer together need no repeating: what disturbs them is small beside them
LONG_ENOUGH_S = 1.0
# a worker that restarts must answer soon; a pass not measured by then is not shared. On a
# processor large canvases, which come last, gain nothing that could be measured. A GPU's library
# takes a second or so to choose the kernels of a canvas, and without shared passes it idles
LONGEST_S = {"cpu": 5.0, "cuda": 40.0}


class WarmUp:
    """The passes of a network: those that are measured, and those that are yet to be."""

    def __init__(self, network: Network, batching: Batching) -> None:
        """Measure single passes."""
        kind = network.device.kind
        self._started = time.perf_counter()
        self._until_s = self._started + LONGEST_S[kind]
        self._network, self._ladder = network, batching.ladder.on(kind)
        self._single = single_costs(network)
        self._measurement = PassMeasurement(
            network, self._single, self._until_s, exact=batching.exact
        )
        self._shared: dict[tuple[Frame, int], SharedPass] = {}
        self._left = deque(passes(network, batching))

    @property
    def costs(self) -> PassCosts:
        """Return what has been measured so far."""
        single = self._single
        return PassCosts(single.launch_ms, single.ms_per_pixel, self._ladder, dict(self._shared))

    @property
    def has_more(self) -> bool:
        return bool(self._left)

    def run(self) -> None:
        """Measure the passes for which a worker that starts has time."""
        while self._left:
            canvas, images = self._left[0]
            pass_s = images * self._single.single_ms(canvas) / 1000
            if time.perf_counter() + self._measurement.fewest_passes * pass_s > self._until_s:
                logger.info(
                    "no more time to warm up: photos on %dx%d and on stay unshared", *canvas
                )
                break
            self._measure_next()
        self._network.end_warm_up()
        logger.info(
            "warmed up in %.1f s: single passes take %.1f ms + %.0f ns a pixel, %d passes admitted",
            time.perf_counter() - self._started,
            self._single.launch_ms,
            self._single.ms_per_pixel * 1e6,
            len(self._shared),
        )

    def measure_another(self, seconds: float) -> None:
        """Measure one of the passes that are left, and run single passes to compare it with for so
        many seconds at most.
        """
        self._measurement.allow(seconds)
        self._measure_next()

    def _measure_next(self) -> None:
        canvas, images = self._left.popleft()
        if measured := self._measurement.measure(canvas, images):
            self._shared[canvas, images] = measured
        else:
            self._network.forget(images, canvas)


def warm_up(network: Network, batching: Batching) -> PassCosts:
    """Measure the passes for which a worker that starts has time."""
    passes_of_network = WarmUp(network, batching)
    passes_of_network.run()
    return passes_of_network.costs


def single_costs(network: Network) -> PassCosts:
    """Measure passes of a single photo."""
    small_ms, large_ms = (single_pass_ms(network, frame) for frame in (SMALL, LARGE))
    ms_per_pixel = max(0.0, large_ms - small_ms) / (LARGE.pixels - SMALL.pixels)
    return PassCosts(max(0.0, small_ms - ms_per_pixel * SMALL.pixels), ms_per_pixel)


def single_pass_ms(network: Network, frame: Frame) -> float:
    photo = photo_of(frame)
    network.scores([photo], frame)  # prepares the kernels of this shape
    return pass_ms(network, [photo], frame, SINGLE_REPEATS)


class PassMeasurement:
    """Measures passes, and whether photos may share them."""

    def __init__(self, network: Network, single: PassCosts, until_s: float, *, exact: bool) -> None:
        self._network, self._single, self._exact = network, single, exact
        self._repeats = SHARED_REPEATS[network.device.kind]
        self._sameness = Sameness(network, until_s)
        # before it is known that a pass is too slow to be shared; the first prepares its kernels
        self.fewest_passes = 1 + self._repeats

    def allow(self, seconds: float) -> None:
        """Let single passes that others are compared with be run for so long from now on."""
        self._sameness.until_s = time.perf_counter() + seconds

    def measure(self, canvas: Frame, images: int) -> SharedPass | None:
        """Time a pass; None where it fails, is not exact, or no faster than single ones."""
        try:
            return self._measure(canvas, images)
        except RuntimeError as error:
            failure = diagnose(error)
            if failure is Failure.device_lost:
                raise
            why = "no memory for it" if failure is Failure.no_memory else error
            logger.warning("%s, so not used: %d photos on %dx%d", why, images, *canvas)
            return None

    def _measure(self, canvas: Frame, images: int) -> SharedPass | None:
        batch = [photo_of(canvas)] * images
        if images == 1:
            self._sameness.remember(canvas)
        self._network.prepare(images, canvas)
        self._network.scores(batch, canvas)
        ms = pass_ms(self._network, batch, canvas, self._repeats)
        if images > 1 and ms >= images * self._single.single_ms(canvas):
            return None
        if not self._exact:
            return SharedPass(ms)
        if single_canvases := self._sameness.single_canvases(canvas, images):
            return SharedPass(ms, single_canvases)
        logger.warning("not exact, so not used: %d photos on %dx%d", images, *canvas)
        return None


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
