"""GPU metrics for Prometheus, read from NVIDIA's management library (NVML); none without it.

`nvidia-ml-py` reads NVML. NVIDIA's DCGM exporter has many more metrics, but is a service of its own
that needs a privileged container. Called by `service.worker.run`.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class GpuGauge(NamedTuple):
    """A gauge of every GPU: its name, its help text, and how NVML reads it of a device handle."""

    name: str
    documentation: str
    read: Callable[[Any, Any], float]


GPU_GAUGES = (
    GpuGauge(
        "fcnserve_gpu_utilization_ratio",
        "Share of the last sample period in which a kernel ran",
        lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100,
    ),
    GpuGauge(
        "fcnserve_gpu_memory_used_bytes",
        "GPU memory in use, by all programs",
        lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used,
    ),
    GpuGauge(
        "fcnserve_gpu_memory_total_bytes",
        "GPU memory there is",
        lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).total,
    ),
    GpuGauge(
        "fcnserve_gpu_power_watts",
        "Power that the GPU draws",
        lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
    ),
    GpuGauge(
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
        """Give each gauge of each GPU; one that a GPU does not support is left out, and all where
        the driver has lost its GPUs: the other metrics are needed then.
        """
        try:
            count = self._nvml.nvmlDeviceGetCount()
        except self._nvml.NVMLError:
            count = 0
        for gauge in GPU_GAUGES:
            family = GaugeMetricFamily(gauge.name, gauge.documentation, labels=["gpu"])
            for index in range(count):
                try:
                    gpu = self._nvml.nvmlDeviceGetHandleByIndex(index)
                    family.add_metric([str(index)], gauge.read(self._nvml, gpu))
                except self._nvml.NVMLError:
                    continue
            yield family


def gpu_collector() -> GpuCollector | None:
    """Return a collector of the driver's GPUs; None without a driver."""
    nvml = connect_nvml()
    return GpuCollector(nvml) if nvml else None


def connect_nvml() -> Any:
    """Return pynvml, connected to the driver; None without a driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except (ImportError, OSError):
        return None
    except pynvml.NVMLError:
        return None
    return pynvml
