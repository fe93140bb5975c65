"""What Prometheus sees of the GPUs, from NVIDIA's management library (NVML); nothing without it."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class Figure(NamedTuple):
    """One gauge of every GPU: its name, what it is, and how NVML tells it of a device handle."""

    name: str
    documentation: str
    read: Callable[[Any, Any], float]


FIGURES = (
    Figure(
        "fcnserve_gpu_utilization_ratio",
        "Share of the last sample period in which a kernel ran",
        lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100,
    ),
    Figure(
        "fcnserve_gpu_memory_used_bytes",
        "GPU memory in use, by all programs",
        lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used,
    ),
    Figure(
        "fcnserve_gpu_memory_total_bytes",
        "GPU memory there is",
        lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).total,
    ),
    Figure(
        "fcnserve_gpu_power_watts",
        "Power that the GPU draws",
        lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
    ),
    Figure(
        "fcnserve_gpu_temperature_celsius",
        "Temperature of the GPU's die",
        lambda nvml, gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
    ),
)


class GpuCollector(Collector):
    """All GPUs that the driver shows to this process; `nvml` is pynvml, initialised."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml

    def collect(self) -> Iterator[Metric]:
        """Give each figure of each GPU; one that a GPU does not tell is left out."""
        count = self._nvml.nvmlDeviceGetCount()
        for figure in FIGURES:
            family = GaugeMetricFamily(figure.name, figure.documentation, labels=["gpu"])
            for index in range(count):
                try:
                    gpu = self._nvml.nvmlDeviceGetHandleByIndex(index)
                    family.add_metric([str(index)], figure.read(self._nvml, gpu))
                except self._nvml.NVMLError:
                    continue
            yield family


def gpu_collector() -> GpuCollector | None:
    """Collect from the driver; None where there is none."""
    nvml = connect_nvml()
    return GpuCollector(nvml) if nvml else None


def connect_nvml() -> Any:
    """Give pynvml, connected to the driver; None where there is none."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except (ImportError, OSError):
        return None
    except pynvml.NVMLError:
        return None
    return pynvml
