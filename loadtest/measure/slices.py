"""A slice: what was measured while one candidate ran without a pause.

Made by `loadtest.measure.service_load`, `loadtest.benchmark.candidates` and
`loadtest.peers.server`; summed up by `loadtest.benchmark.rows`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

TimedPhoto = tuple[int, float]  # index of the photo in its set, milliseconds


@dataclass(frozen=True, slots=True)
class Slice:
    """Every value is a sum, but `peak_bytes` and `other_programs_share`."""

    images: int
    seconds: float
    cpu_s: Mapping[str, float]  # user and system, by process
    valid_pixels: int  # of the photos at the network's working size
    counted_pixels: int = 0  # the same, of the passes whose padded pixels are known
    padded_pixels: int = 0
    batches: int = 0
    batched_images: int = 0
    passes: int = 0
    passed_images: int = 0
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    latencies_ms: tuple[TimedPhoto, ...] = ()
    differing: int = 0
    failed: int = 0
    peak_bytes: Mapping[str, int] = field(default_factory=dict)  # by process
    client_cpu_s: float = 0.0
    joules: float | None = None  # of all GPUs, where they count it
    other_programs_share: float = 0.0  # of all cores, used by programs outside the measurement

    @property
    def images_per_s(self) -> float:
        return self.images / self.seconds

    @property
    def masks_per_cpu_s(self) -> float:
        return self.images / sum(self.cpu_s.values())

    @property
    def valid_pixels_per_s(self) -> float:
        return self.valid_pixels / self.seconds
