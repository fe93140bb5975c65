"""Admission: a request gets a permit while the limits allow it; else it is rejected at once, with
`Retry-After`.

Requests, body bytes and predicted CPU seconds (`handlers.shared.cost`) are limited for all models
together and, where there are several, for each. The limits hold for all of the gateway's processes
together: each adds to its own figures, and reads those of all (`service.multiprocess.group`). It
counts first and checks then, so that two processes cannot both take the last permit. Called by
`service.api.direct_routes` before routing, `service.pipeline.read` (permit and bytes),
`service.pipeline.batch` (permits) and `service.pipeline.admit` (seconds).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from service.errors import BusyError
from service.metrics.queue import QueueMetrics
from service.multiprocess.group import ProcessGroup
from service.pipeline.answer_rate import AnswerRate
from service.pipeline.limits import AdmissionLimits, CountedInFlight, InFlight

NOTHING = InFlight()


class Admission:
    """Counts what is in flight, and holds it to the limits."""

    def __init__(
        self,
        limits: AdmissionLimits,
        metrics: QueueMetrics,
        models: Sequence[str],
        group: ProcessGroup | None = None,
    ) -> None:
        """Take the limits of all models and all processes together, with one replica."""
        group = group or ProcessGroup(models)
        self._limits = self._limits_of_replica = limits
        self._metrics = metrics
        self._rate = AnswerRate(group)
        self._in_flight = in_flight = CountedInFlight(group)
        # a single model has all that is in flight
        self._of_model = (
            {model: CountedInFlight(group, model) for model in models}
            if len(models) > 1
            else dict.fromkeys(models, in_flight)
        )
        self._has_several_models = len(models) > 1
        metrics.in_flight_limit.set(limits.images)
        metrics.in_flight.follow(lambda: in_flight.images.own)
        metrics.bytes_in_flight.follow(lambda: in_flight.body_bytes.own)
        metrics.seconds_in_flight.follow(lambda: in_flight.seconds.own)

    @property
    def in_flight(self) -> InFlight:
        """What is in flight in all processes."""
        return self._in_flight.without(NOTHING)

    def follow(self, replicas: int) -> None:
        """Allow as many images and seconds for each replica that takes images, at least for one;
        bytes take this process's memory, however many replicas there are.
        """
        self._limits = self._limits_of_replica.times(max(1, replicas))
        self._metrics.in_flight_limit.set(self._limits.images)

    def check_capacity(self) -> None:
        """Check for a free permit, without taking it; raises BusyError."""
        if self._in_flight.images.total() < self._limits.images:
            return  # nearly always
        others = self.in_flight
        if reason := self._limits.exceeded_by(InFlight(images=1), others):
            raise self._busy(reason, others)

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
        if self._in_flight.images.own == 0:
            self._rate.restart()
        self._take(permit.model, InFlight(1, permit.body_bytes))

    def add(self, model: str, body_bytes: int = 0, seconds: float = 0.0) -> None:
        """Count more for a request in flight; raises BusyError where the others leave no room.

        A request that is alone is never rejected: later it would not fit any better. Negative
        numbers give back.
        """
        self._take(model, InFlight(0, body_bytes, seconds))

    def give_back(self, permit: "Permit") -> None:
        """Count a request as answered."""
        self._remove(permit.model, InFlight(1, permit.body_bytes, permit.seconds))
        self._rate.add(permit.seconds)

    def retry_after_s(self) -> int:
        """Estimate in how many seconds all that is in flight is answered."""
        return self._rate.retry_after_s(self.in_flight)

    def _take(self, model: str, more: InFlight) -> None:
        """Count more, and give it back where it does not fit; raises BusyError."""
        self._in_flight.add(more)
        if self._has_several_models:
            self._of_model[model].add(more)
        try:
            self._check_all(model, more, counted=more)
        except BusyError:
            self._remove(model, more)
            raise

    def _remove(self, model: str, part: InFlight) -> None:
        self._in_flight.remove(part)
        if self._has_several_models:
            self._of_model[model].remove(part)

    def _check_all(self, model: str, more: InFlight, counted: InFlight = NOTHING) -> None:
        """Raise BusyError where more exceeds a limit; of it, `counted` is counted already."""
        others = self._in_flight.without(counted)
        reason = self._limits.exceeded_by(more, others)
        if not reason and self._has_several_models:
            limits = self._limits.of_one(len(self._of_model))
            of_model = self._of_model[model].without(counted)
            reason = limits.exceeded_by(more, of_model, f" for {model}")
        if reason:
            raise self._busy(reason, others)

    def _busy(self, reason: str, others: InFlight) -> BusyError:
        return BusyError(reason, self._rate.retry_after_s(others))


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
