"""How many Python workers a model gets, where the settings leave it open."""

import os

from service.settings import Settings

# Measured on two cores: two workers of one thread answer a quarter more photos per second than one
# of two threads, and a lone photo as soon. Each takes 0.9 GB, hence the bound, of all models.
MOST_CPU_WORKERS = 4
# while one encodes and waits for its next batch, the other has the GPU
GPU_WORKERS = 2


def worker_count(settings: Settings, gpus: int) -> int:
    """Take `workers`; for 0, two a GPU, or else one a processor, and four of all models.

    A model's workers have all processors between them, however many models there are: which of
    them is asked, and when, is not known.
    """
    most = max(1, MOST_CPU_WORKERS // len(settings.models))
    return settings.workers or GPU_WORKERS * gpus or min(most, len(os.sched_getaffinity(0)))
