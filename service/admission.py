"""The bounds on what is in flight: beyond them a request is turned away at once, with a time to
come back.

What is in flight has been accepted and not yet answered: requests, the bytes of their bodies, and
the pixels that the network will see of their images.
"""

import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from service.errors import BusyError
from service.line_metrics import LineMetrics

RECENT_ANSWERS = 50
MAX_RETRY_AFTER_S = 60


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be in flight."""

    images: int
    body_bytes: int
    pixels: int

    def share(self, processes: int) -> "Limits":
        """Take one process's part; never nothing."""
        parts = (self.images, self.body_bytes, self.pixels)
        return Limits(*(max(1, part // processes) for part in parts))


class Admission:
    """Counts what is in flight, and remembers how fast answers have followed each other since it
    was last idle.
    """

    def __init__(self, limits: Limits, metrics: LineMetrics) -> None:
        self._limits = limits
        self._metrics = metrics
        metrics.in_flight_limit.set(limits.images)
        # when the first request since idleness came in, then when each was done with
        self._moments: deque[float] = deque(maxlen=RECENT_ANSWERS + 1)
        self.in_flight = 0
        self.body_bytes = 0
        self.pixels = 0

    def knock(self) -> None:
        """Ask whether there is a place; raises BusyError when all are taken."""
        if self.in_flight >= self._limits.images:
            raise self.busy(
                f"{self.in_flight} requests are in flight; the limit is {self._limits.images}",
                "FCNSERVE_MAX_IN_FLIGHT",
            )

    @contextmanager
    def slot(self) -> Iterator["Place"]:
        """Hold one place; raises BusyError when all are taken."""
        self.knock()
        if self.in_flight == 0:
            self._moments.clear()
            self._moments.append(time.monotonic())
        place = Place(self)
        self._count(1)
        try:
            yield place
        finally:
            self._count(-1, -place.body_bytes, -place.pixels)
            self._moments.append(time.monotonic())

    def hold(self, body_bytes: int = 0, pixels: int = 0) -> None:
        """Take more on account of a request in flight; raises BusyError where others have it all.

        One that is alone is never turned away: it would not fit any better later.
        """
        limits = self._limits
        if self.in_flight > 1 and self.body_bytes + body_bytes > limits.body_bytes:
            raise self.busy(
                f"{self.body_bytes} bytes of images are in flight and this request has "
                f"{body_bytes}; the limit is {limits.body_bytes}",
                "FCNSERVE_MAX_IN_FLIGHT_BYTES",
            )
        if self.in_flight > 1 and self.pixels + pixels > limits.pixels:
            raise self.busy(
                f"{self.pixels} pixels are in flight and this image has {pixels}; the limit is "
                f"{limits.pixels}",
                "FCNSERVE_MAX_IN_FLIGHT_PIXELS",
            )
        self._count(0, body_bytes, pixels)

    def busy(self, seen: str, setting: str) -> BusyError:
        return BusyError(
            f"{seen}; come back after Retry-After or raise {setting}", self.retry_after_s()
        )

    def retry_after_s(self) -> int:
        """Estimate how long answering all that is in flight takes, at the recent rate."""
        answers = len(self._moments) - 1
        if answers < 1:
            return 1
        seconds_per_answer = (time.monotonic() - self._moments[0]) / answers
        return min(MAX_RETRY_AFTER_S, max(1, math.ceil(seconds_per_answer * self.in_flight)))

    def _count(self, images: int, body_bytes: int = 0, pixels: int = 0) -> None:
        self.in_flight += images
        self.body_bytes += body_bytes
        self.pixels += pixels
        self._metrics.show_in_flight(self.in_flight, self.body_bytes, self.pixels)


@dataclass(slots=True)
class Place:
    """One request's place, and what it holds beside; all is given back with the place."""

    admission: Admission
    body_bytes: int = 0
    pixels: int = 0

    def hold_bytes(self, body_bytes: int) -> None:
        """Take account of a body, or a part of one; raises BusyError."""
        self.admission.hold(body_bytes=body_bytes)
        self.body_bytes += body_bytes

    def hold_pixels(self, pixels: int) -> None:
        """Take account of an image; raises BusyError."""
        self.admission.hold(pixels=pixels)
        self.pixels += pixels
