"""The number of Python workers per model: `FCNSERVE_WORKERS`, or one that suits the machine.

Called by `service.worker.torchserve`.
"""

import os

from service.settings import Settings

# Measured on two cores: two workers of one thread answer a quarter more photos per second than one
# of two threads, and a single photo as soon. Each takes 0.9 GB, hence the limit, of all models.
MAX_CPU_WORKERS = 4
# while one encodes and waits for its next batch, the other has the GPU
WORKERS_PER_GPU = 2


def worker_count(settings: Settings, gpus: int) -> int:
    """Return `workers`; for 0, two per GPU, or else one per processor, up to four of all models.

    Each model has workers for all processors, however many models there are: which of them gets
    requests, and when, is unknown.
    """
    limit = max(1, MAX_CPU_WORKERS // len(settings.models))
    return settings.workers or WORKERS_PER_GPU * gpus or min(limit, len(os.sched_getaffinity(0)))
