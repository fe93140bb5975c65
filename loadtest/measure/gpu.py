"""Energy and peak memory of the GPUs; nothing where there are none.

Called by `loadtest.measure.service_load` and `loadtest.benchmark.candidates`.
"""

from functools import cache

import torch

from service.worker.gpu_metrics import connect_nvml

nvml = cache(connect_nvml)


def gpu_peak_bytes() -> dict[str, int]:
    """Most GPU memory that tensors of this process have had since `reset_gpu_peak`."""
    return {"gpu": torch.cuda.max_memory_allocated()} if torch.cuda.is_available() else {}


def reset_gpu_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def gpu_joules() -> float | None:
    """Energy that all GPUs have used since the driver was loaded; None where it is not counted."""
    if not nvml():
        return None
    handles = map(nvml().nvmlDeviceGetHandleByIndex, range(nvml().nvmlDeviceGetCount()))
    try:
        return sum(map(float, map(nvml().nvmlDeviceGetTotalEnergyConsumption, handles))) / 1000
    except nvml().NVMLError:
        return None


class EnergyCounter:
    """Energy that all GPUs use from the construction on; None where it is not counted."""

    def __init__(self) -> None:
        self._before = gpu_joules()

    def joules(self) -> float | None:
        after = gpu_joules()
        return None if self._before is None or after is None else after - self._before
