"""How long a batch may take, and each image of it when it runs in isolation.

Made by `handlers.pipeline`, applied by `handlers.isolation.crash_isolation`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from handlers.job import Job
from handlers.shared.errors import ProblemError

# of TorchServe's limit for a batch: beyond that it kills the worker without a trace
CLOCK_SHARE = 0.8
# of that, for isolated decoding, or for one suspect: with less it is not refused for slowness
SUSPECT_SHARE = 0.4
# beyond what is predicted, and times that; rates are measured in an instant, on small pictures
SPARE_CPU_S = 4.0
CPU_MARGIN = 3.0


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Seconds of the clock, and CPU seconds by what is predicted.

    CPU time distinguishes an image that takes too long from a machine that is busy otherwise.
    """

    clock_s: float
    threads: int = 1  # that a pass keeps busy
    spare_cpu_s: float = SPARE_CPU_S

    @classmethod
    def of(cls, response_timeout_s: float, threads: int) -> "TimeLimits":
        """End a batch before TorchServe does; its own limit stays for a process that cannot."""
        return cls(CLOCK_SHARE * response_timeout_s, threads)

    @property
    def suspect_clock_s(self) -> float:
        """Seconds of the clock without which a suspect has not had its time."""
        return SUSPECT_SHARE * self.clock_s

    def cpu_s(self, jobs: Iterable[Job | ProblemError]) -> float:
        """CPU seconds for these images, of all threads together."""
        predicted_s = sum(job.options.cost_s for job in jobs if isinstance(job, Job))
        return self.threads * (self.spare_cpu_s + CPU_MARGIN * predicted_s)

    def decode_cpu_s(self, job: Job) -> float:
        """CPU seconds for decoding one image, in one thread."""
        return replace(self, threads=1).cpu_s([job])
