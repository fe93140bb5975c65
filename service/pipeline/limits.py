"""How much may be in flight, and how much is: images, the bytes of their bodies, and predicted CPU
seconds.

What is in flight has been accepted and not yet answered, by any of the gateway's processes. Limits
are computed from the settings by `service.app`, and enforced by `service.pipeline.admission`.
"""

from dataclasses import dataclass
from typing import NamedTuple

from service.multiprocess.group import BODY_BYTES, IMAGES, SECONDS, ProcessGroup

ADVICE = "try again after Retry-After or raise"


class InFlight(NamedTuple):
    """What is in flight, of all models or of one, or a part of it."""

    images: int = 0
    body_bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """The most that may be in flight."""

    images: int
    body_bytes: int
    seconds: float

    def of_one(self, models: int) -> "AdmissionLimits":
        """Return what one of several models may use: half of each limit is reserved in equal parts,
        one for each model, so that a model whose workers are slow or down leaves room for others.
        """
        others = models - 1
        images, body_bytes = (
            part - others * (part // (2 * models)) for part in (self.images, self.body_bytes)
        )
        return AdmissionLimits(images, body_bytes, self.seconds * (models + 1) / (2 * models))

    def times(self, replicas: int) -> "AdmissionLimits":
        """Return the limits with so many replicas."""
        return AdmissionLimits(self.images * replicas, self.body_bytes, self.seconds * replicas)

    def exceeded_by(self, more: InFlight, others: InFlight, scope: str = "") -> str:
        """Return why more does not fit beside the others; empty where it does."""
        images = others.images + more.images
        if images > self.images:
            seen = f"{others.images} requests are in flight{scope}; the limit is {self.images}"
            return f"{seen}; {ADVICE} FCNSERVE_MAX_IN_FLIGHT"
        if images <= 1:
            return ""
        if more.body_bytes > 0 and others.body_bytes + more.body_bytes > self.body_bytes:
            return (
                f"{others.body_bytes} bytes of images are in flight{scope} and this request has "
                f"{more.body_bytes}; the limit is {self.body_bytes}; "
                f"{ADVICE} FCNSERVE_MAX_IN_FLIGHT_BYTES"
            )
        if more.seconds and others.seconds + more.seconds > self.seconds:
            return (
                f"images of {others.seconds:.2f} CPU seconds are in flight{scope} and this one "
                f"takes {more.seconds:.2f}; the limit is {self.seconds:g}; "
                f"{ADVICE} FCNSERVE_MAX_IN_FLIGHT_SECONDS"
            )
        return ""


class CountedInFlight:
    """What is in flight, of all models or of one, counted by all processes together."""

    __slots__ = ("body_bytes", "images", "seconds")

    def __init__(self, group: ProcessGroup, model: str = "") -> None:
        self.images = group.figure(IMAGES, model)
        self.body_bytes = group.figure(BODY_BYTES, model)
        self.seconds = group.figure(SECONDS, model)

    def add(self, more: InFlight) -> None:
        """Count more in this process."""
        images, body_bytes, seconds = more
        self.images.own += images
        self.body_bytes.own += body_bytes
        self.seconds.own += seconds

    def remove(self, part: InFlight) -> None:
        """Count less in this process."""
        images, body_bytes, seconds = part
        self.images.own -= images
        self.body_bytes.own -= body_bytes
        self.seconds.own -= seconds

    def without(self, part: InFlight) -> InFlight:
        """Return what is in flight in all processes, except a part."""
        return InFlight(
            int(self.images.total()) - part.images,
            int(self.body_bytes.total()) - part.body_bytes,
            self.seconds.total() - part.seconds,
        )
