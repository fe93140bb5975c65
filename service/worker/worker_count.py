"""The number of Python workers per model, and of their threads: `FCNSERVE_WORKERS` and
`FCNSERVE_THREADS`, or numbers that suit the machine.

Called by `service.worker.torchserve`.
"""

import math

from handlers.shared.processors import usable_processors
from service.settings import Settings

# Measured on two cores: two workers of one thread answer a quarter more photos per second than one
# of two threads, and a single photo as soon. Each takes 0.9 GB, hence the limit, of all models.
MAX_CPU_WORKERS = 4

# Of a small photo, in milliseconds. An estimate, until it is measured: a large GPU's part
GPU_MS = 0.4
# Measured without a GPU (docs/performance.md): of processors, around the network; and of these a
# worker's Python code, which runs in one thread at a time: its codecs do not
AROUND_MS, PYTHON_MS = 2.2, 0.7
# with a processor busier than this, latency is queueing
BUSY_SHARE = 0.75
# while one encodes and waits for its next batch, the other has the GPU
FEWEST_PER_GPU = 2
# a batch has no more photos (`batching: {batch_size: {cuda: 16}}`); a thread starts when needed
MOST_CODEC_THREADS = 16
FEWEST_CODEC_THREADS = 2


def worker_count(settings: Settings, gpus: int) -> int:
    """Return `workers`; for 0, two or three per GPU, or else one per processor, up to four of all
    models.

    Each model has workers for all processors, however many models there are: which of them gets
    requests, and when, is unknown.
    """
    if settings.workers:
        return settings.workers
    models = len(settings.models)
    if gpus:
        several = models > 1  # each has its own: GPU memory counts for more than Python's time
        return gpus * (FEWEST_PER_GPU if several else workers_per_gpu(usable_processors() / gpus))
    return min(max(1, MAX_CPU_WORKERS // models), usable_processors())


def workers_per_gpu(processors: float) -> int:
    """Return how many workers keep a GPU busy that has so many processors: as many as can run the
    Python code of all the photos that GPU and processors have time for.
    """
    photos_per_ms = min(1 / GPU_MS, BUSY_SHARE * processors / AROUND_MS)
    return max(FEWEST_PER_GPU, math.ceil(photos_per_ms * PYTHON_MS / BUSY_SHARE))


def worker_threads(settings: Settings, workers: int, gpus: int) -> int:
    """Return `threads`; for 0, the codec threads of each worker beside a GPU: its share of the
    processors; or else 0, which has the worker count its own.
    """
    if settings.threads or not gpus:
        return settings.threads
    share = usable_processors() // (workers * len(settings.models))
    return min(max(FEWEST_CODEC_THREADS, share), MOST_CODEC_THREADS)
