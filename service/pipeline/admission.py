"""The bounds on what is in flight: beyond them a request is turned away at once, with a time to
come back.

What is in flight has been accepted and not yet answered: requests, the bytes of their bodies, and
the predicted seconds that their images take (`handlers.shared.cost`). Of several models each is
kept a part of every bound, so that one whose workers are slow or gone does not turn away those who
want another.
"""

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from service.errors import BusyError
from service.metrics.queue import QueueMetrics

RECENT_ANSWERS = 50
# of an answer's cost, beside what is predicted of its image
IMAGE_S = 0.001
MAX_RETRY_AFTER_S = 60


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """How much may be in flight."""

    images: int
    body_bytes: int
    seconds: float

    def share(self, processes: int) -> "AdmissionLimits":
        """Take one process's part; never nothing."""
        images, body_bytes = (max(1, part // processes) for part in (self.images, self.body_bytes))
        return AdmissionLimits(images, body_bytes, self.seconds / processes)

    def of_one(self, models: int) -> "AdmissionLimits":
        """What one of several models may have: half of all is kept in equal parts, one for each."""
        others = models - 1
        images, body_bytes = (
            part - others * (part // (2 * models)) for part in (self.images, self.body_bytes)
        )
        return AdmissionLimits(images, body_bytes, self.seconds * (models + 1) / (2 * models))


@dataclass(slots=True)
class InFlight:
    """What is in flight, of all models or of one."""

    images: int = 0
    body_bytes: int = 0
    seconds: float = 0.0

    def count(self, images: int, body_bytes: int, seconds: float) -> None:
        self.images += images
        self.body_bytes += body_bytes
        self.seconds += seconds


class Admission:
    """Counts what is in flight, and remembers how fast answers have followed each other since it
    was last idle.
    """

    def __init__(
        self, limits: AdmissionLimits, metrics: QueueMetrics, models: Sequence[str]
    ) -> None:
        """Take the bounds of all models together."""
        self._limits = limits
        self._metrics = metrics
        metrics.in_flight_limit.set(limits.images)
        # when the first request since idleness came in, then when each was done with, and its cost
        self._done: deque[tuple[float, float]] = deque(maxlen=RECENT_ANSWERS + 1)
        self.held = InFlight()
        self._of_model = {model: InFlight() for model in models}

    @property
    def in_flight(self) -> int:
        return self.held.images

    def is_idle(self, model: str) -> bool:
        """Tell whether nothing of a model is in flight."""
        return self._of_model[model].images == 0

    def knock(self) -> None:
        """Ask whether there is a place; raises BusyError when all are taken."""
        self._check(InFlight(images=1), "", self.held, self._limits)

    def check(self, model: str, body_bytes: int) -> None:
        """Ask whether there is room for a request as it announces itself: if there is none, it need
        not be sent. Takes nothing; raises BusyError.
        """
        self._check_all(model, InFlight(1, body_bytes))

    @contextmanager
    def slot(self, model: str) -> Iterator["Permit"]:
        """Hold one place for a request that has arrived; raises BusyError when all are taken, or
        all that one model may have.
        """
        self._check_all(model, InFlight(images=1))
        if self.in_flight == 0:
            self._done.clear()
            self._done.append((time.monotonic(), 0.0))
        place = Permit(self, model)
        self._count(model, 1)
        try:
            yield place
        finally:
            self._count(model, -1, -place.body_bytes, -place.seconds)
            self._done.append((time.monotonic(), IMAGE_S + place.seconds))

    def hold(self, model: str, body_bytes: int = 0, seconds: float = 0.0) -> None:
        """Take more on account of a request in flight; raises BusyError where others have it all.

        One that is alone is never turned away: it would not fit any better later. A negative number
        gives back.
        """
        self._check_all(model, InFlight(0, body_bytes, seconds))
        self._count(model, 0, body_bytes, seconds)

    def retry_after_s(self) -> int:
        """Estimate how long answering all that is in flight takes, at the recent rate: predicted
        seconds done per second.
        """
        (since, _), *done = self._done or [(0.0, 0.0)]
        if not done:
            return 1
        left_s = IMAGE_S * self.in_flight + self.held.seconds
        wait_s = (time.monotonic() - since) * left_s / sum(seconds for _, seconds in done)
        return min(MAX_RETRY_AFTER_S, max(1, math.ceil(wait_s)))

    def _check_all(self, model: str, more: InFlight) -> None:
        self._check(more, "", self.held, self._limits)
        if len(self._of_model) > 1:
            limits = self._limits.of_one(len(self._of_model))
            self._check(more, f" for {model}", self._of_model[model], limits)

    def _check(self, more: InFlight, whose: str, held: InFlight, limits: AdmissionLimits) -> None:
        """Raise BusyError for what does not fit beside the others."""
        if held.images + more.images > limits.images:
            raise self._busy(
                f"{held.images} requests are in flight{whose}; the limit is {limits.images}",
                "FCNSERVE_MAX_IN_FLIGHT",
            )
        if held.images + more.images <= 1:
            return
        if more.body_bytes > 0 and held.body_bytes + more.body_bytes > limits.body_bytes:
            raise self._busy(
                f"{held.body_bytes} bytes of images are in flight{whose} and this request has "
                f"{more.body_bytes}; the limit is {limits.body_bytes}",
                "FCNSERVE_MAX_IN_FLIGHT_BYTES",
            )
        if more.seconds and held.seconds + more.seconds > limits.seconds:
            raise self._busy(
                f"images of {held.seconds:.2f} CPU seconds are in flight{whose} and this one takes "
                f"{more.seconds:.2f}; the limit is {limits.seconds:g}",
                "FCNSERVE_MAX_IN_FLIGHT_SECONDS",
            )

    def _busy(self, seen: str, setting: str) -> BusyError:
        return BusyError(
            f"{seen}; come back after Retry-After or raise {setting}", self.retry_after_s()
        )

    def _count(self, model: str, images: int, body_bytes: int = 0, seconds: float = 0.0) -> None:
        for held in (self.held, self._of_model[model]):
            held.count(images, body_bytes, seconds)
        self._metrics.show_in_flight(self.held.images, self.held.body_bytes, self.held.seconds)


@dataclass(slots=True)
class Permit:
    """One request's place, and what it holds beside; all is given back with the place."""

    admission: Admission
    model: str
    body_bytes: int = 0
    seconds: float = 0.0

    def hold_bytes(self, body_bytes: int) -> None:
        """Take account of a body, or of its getting smaller; raises BusyError."""
        self.admission.hold(self.model, body_bytes=body_bytes)
        self.body_bytes += body_bytes

    def hold_seconds(self, seconds: float) -> None:
        """Take account of an image's predicted cost; raises BusyError."""
        self.admission.hold(self.model, seconds=seconds)
        self.seconds += seconds
