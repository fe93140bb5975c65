"""How many Python workers a model gets, where the settings leave it open."""

import os
import subprocess

from service.settings import Settings

# Measured on two cores: two workers of one thread answer a quarter more photos per second than one
# of two threads, and a lone photo as soon. Each takes 0.9 GB, hence the bound, of all models.
MOST_CPU_WORKERS = 4
# while one encodes and waits for its next batch, the other has the GPU
GPU_WORKERS = 2
PROBE_TIMEOUT_S = 30


def worker_count(settings: Settings, gpus: int) -> int:
    """Take `workers`; for 0, two a GPU, or else one a processor, and four of all models.

    A model's workers have all processors between them, however many models there are: which of
    them is asked, and when, is not known.
    """
    most = max(1, MOST_CPU_WORKERS // len(settings.models))
    return settings.workers or GPU_WORKERS * gpus or min(most, len(os.sched_getaffinity(0)))


def gpu_count() -> int:
    """Count the GPUs that TorchServe sees: like this, it asks the driver's own tool."""
    try:
        answer = subprocess.run(
            ["nvidia-smi", "-L"],
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in answer.stdout.splitlines())
