"""Admission: a request gets a permit while the limits allow it; else it is rejected at once, with
`Retry-After`.

Requests, body bytes and predicted CPU seconds (`handlers.shared.cost`) are limited for all models
together and, where there are several, for each. Called by `service.api.overload` before routing,
`service.pipeline.read` (permit and bytes), `service.pipeline.batch` (permits) and
`service.pipeline.admit` (seconds).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from service.errors import BusyError
from service.metrics.queue import QueueMetrics
from service.pipeline.answer_rate import AnswerRate
from service.pipeline.limits import AdmissionLimits, InFlight


class Admission:
    """Counts what is in flight, and holds it to the limits."""

    def __init__(
        self, limits: AdmissionLimits, metrics: QueueMetrics, models: Sequence[str]
    ) -> None:
        """Take the limits of all models together."""
        self._limits = limits
        self._metrics = metrics
        metrics.in_flight_limit.set(limits.images)
        self._rate = AnswerRate()
        self.in_flight = InFlight()
        self._of_model = {model: InFlight() for model in models}

    def is_idle(self, model: str) -> bool:
        """Return whether nothing of a model is in flight."""
        return self._of_model[model].images == 0

    def check_capacity(self) -> None:
        """Check for a free permit, without taking it; raises BusyError."""
        self._check(InFlight(images=1), "", self.in_flight, self._limits)

    def check_announced(self, model: str, body_bytes: int) -> None:
        """Check for room for a request of so many announced bytes, which need not be sent if there
        is none; takes nothing. Raises BusyError.
        """
        self._check_all(model, InFlight(1, body_bytes))

    def permit(self, model: str, body_bytes: int = 0) -> "Permit":
        """Return a permit for a request that has arrived, taken while its block runs.

        The block raises BusyError when all are taken, or all that one model may have, or where the
        others leave no room for the body.
        """
        return Permit(self, model, body_bytes)

    def take(self, permit: "Permit") -> None:
        """Count a request in flight; raises BusyError."""
        self._check_all(permit.model, InFlight(1, permit.body_bytes))
        if self.in_flight.images == 0:
            self._rate.restart()
        self._count(permit.model, 1, permit.body_bytes)

    def add(self, model: str, body_bytes: int = 0, seconds: float = 0.0) -> None:
        """Count more for a request in flight; raises BusyError where the others leave no room.

        A request that is alone is never rejected: later it would not fit any better. Negative
        numbers give back.
        """
        self._check_all(model, InFlight(0, body_bytes, seconds))
        self._count(model, 0, body_bytes, seconds)

    def give_back(self, permit: "Permit") -> None:
        """Count a request as answered."""
        self._count(permit.model, -1, -permit.body_bytes, -permit.seconds)
        self._rate.add(permit.seconds)

    def retry_after_s(self) -> int:
        """Estimate in how many seconds all that is in flight is answered."""
        return self._rate.retry_after_s(self.in_flight)

    def _check_all(self, model: str, more: InFlight) -> None:
        self._check(more, "", self.in_flight, self._limits)
        if len(self._of_model) > 1:
            limits = self._limits.of_one(len(self._of_model))
            self._check(more, f" for {model}", self._of_model[model], limits)

    def _check(
        self, more: InFlight, scope: str, in_flight: InFlight, limits: AdmissionLimits
    ) -> None:
        """Raise BusyError for what does not fit beside the others."""
        if in_flight.images + more.images > limits.images:
            raise self._busy(
                f"{in_flight.images} requests are in flight{scope}; the limit is {limits.images}",
                "FCNSERVE_MAX_IN_FLIGHT",
            )
        if in_flight.images + more.images <= 1:
            return
        if more.body_bytes > 0 and in_flight.body_bytes + more.body_bytes > limits.body_bytes:
            raise self._busy(
                f"{in_flight.body_bytes} bytes of images are in flight{scope} and this request has "
                f"{more.body_bytes}; the limit is {limits.body_bytes}",
                "FCNSERVE_MAX_IN_FLIGHT_BYTES",
            )
        if more.seconds and in_flight.seconds + more.seconds > limits.seconds:
            raise self._busy(
                f"images of {in_flight.seconds:.2f} CPU seconds are in flight{scope} and this one "
                f"takes {more.seconds:.2f}; the limit is {limits.seconds:g}",
                "FCNSERVE_MAX_IN_FLIGHT_SECONDS",
            )

    def _busy(self, seen: str, setting: str) -> BusyError:
        return BusyError(
            f"{seen}; try again after Retry-After or raise {setting}", self.retry_after_s()
        )

    def _count(self, model: str, images: int, body_bytes: int = 0, seconds: float = 0.0) -> None:
        for in_flight in (self.in_flight, self._of_model[model]):
            in_flight.add(images, body_bytes, seconds)
        total = self.in_flight
        self._metrics.show_in_flight(total.images, total.body_bytes, total.seconds)


@dataclass(slots=True)
class Permit:
    """The right of one image to be in flight while a block runs, with the bytes and seconds counted
    for it; all are given back together.
    """

    admission: Admission
    model: str
    body_bytes: int = 0
    seconds: float = 0.0

    def __enter__(self) -> Self:
        self.admission.take(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.admission.give_back(self)

    def add_bytes(self, body_bytes: int) -> None:
        """Count a body's bytes, fewer where negative; raises BusyError."""
        self.admission.add(self.model, body_bytes=body_bytes)
        self.body_bytes += body_bytes

    def add_seconds(self, seconds: float) -> None:
        """Count an image's predicted cost; raises BusyError."""
        self.admission.add(self.model, seconds=seconds)
        self.seconds += seconds
