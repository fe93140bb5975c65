"""The number of gateway processes: `FCNSERVE_GATEWAY_PROCESSES`, or one that suits the machine.

A process uses one processor for its event loop, and serves some 1000 to 2000 small photos a second.
Called by `service.server.run`.
"""

from collections.abc import Callable

from handlers.shared.processors import usable_processors
from service.inference_address import parse_addresses
from service.settings import Settings

# Gateway and worker on one machine with GPUs. A photo takes 0.8 ms of a processor in the gateway,
# 0.3 in TorchServe's Java and 1.1 in the Python worker, which decodes and encodes: of four
# processors one or two are the gateway's. A GPU takes a photo in half a millisecond: two processes
# feed it.
PROCESSORS_PER_PROCESS = 4
PROCESSES_PER_GPU = 2
# On one machine without GPUs, a photo's network takes 25 ms of a processor and more: the workers
# need the processors, and those of 32 are kept busy by one process.
PROCESSORS_PER_PROCESS_WITHOUT_GPU = 32
# The gateway alone has its processors for itself, but does not know what the worker can do: four
# feed the GPUs of most machines, and processes that wait cost memory, 100 MB each.
MAX_ALONE = 4


def process_count(settings: Settings, gpu_count: Callable[[], int]) -> int:
    """Return the number; a worker on this machine, with so many GPUs, shares its processors."""
    if settings.gateway_processes != "auto":
        return settings.gateway_processes
    processors = usable_processors()
    if all(each.is_local for each in parse_addresses(settings.torchserve_url)):
        return process_count_beside_worker(processors, gpu_count())
    return min(MAX_ALONE, processors)


def process_count_beside_worker(processors: int, gpus: int) -> int:
    """Return the number for a gateway that shares its processors with a worker of so many GPUs."""
    if gpus == 0:
        return max(1, processors // PROCESSORS_PER_PROCESS_WITHOUT_GPU)
    return max(1, min(processors // PROCESSORS_PER_PROCESS, PROCESSES_PER_GPU * gpus))
