"""How much may be in flight: images, the bytes of their bodies, and their predicted CPU seconds.

What is in flight has been accepted and not yet answered. Limits are computed from the settings by
`service.app`, and enforced by `service.pipeline.admission`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """The most that may be in flight."""

    images: int
    body_bytes: int
    seconds: float

    def share(self, processes: int) -> "AdmissionLimits":
        """Return one gateway process's part; at least one image and one byte."""
        images, body_bytes = (max(1, part // processes) for part in (self.images, self.body_bytes))
        return AdmissionLimits(images, body_bytes, self.seconds / processes)

    def of_one(self, models: int) -> "AdmissionLimits":
        """Return what one of several models may use: half of each limit is reserved in equal parts,
        one for each model, so that a model whose workers are slow or down leaves room for others.
        """
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

    def add(self, images: int, body_bytes: int, seconds: float) -> None:
        self.images += images
        self.body_bytes += body_bytes
        self.seconds += seconds
