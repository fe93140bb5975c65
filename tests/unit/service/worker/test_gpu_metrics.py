"""GPU metrics are read from NVML, as far as each GPU supports them."""

from types import SimpleNamespace

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from service.worker.gpu_metrics import GPU_GAUGES, GpuCollector


class FakeNvml(SimpleNamespace):
    """Two GPUs as pynvml shows them; the second one does not support power."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        """What pynvml raises."""

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802 - NVML's names
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetUtilizationRates(self, _gpu: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(gpu=87)

    def nvmlDeviceGetMemoryInfo(self, _gpu: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(used=10, total=80)

    def nvmlDeviceGetPowerUsage(self, gpu: int) -> int:  # noqa: N802
        if gpu == 1:
            raise self.NVMLError
        return 350_000

    def nvmlDeviceGetTemperature(self, _gpu: int, _sensor: int) -> int:  # noqa: N802
        return 61


def test_every_gauge_that_a_gpu_supports_is_collected() -> None:
    registry = CollectorRegistry()
    registry.register(GpuCollector(FakeNvml()))
    first = {
        gauge.name: registry.get_sample_value(gauge.name, {"gpu": "0"}) for gauge in GPU_GAUGES
    }
    assert list(first.values()) == [0.87, 10, 80, 350, 61]
    assert registry.get_sample_value("fcnserve_gpu_power_watts", {"gpu": "1"}) is None
    assert registry.get_sample_value("fcnserve_gpu_utilization_ratio", {"gpu": "1"}) == 0.87


def test_a_lost_driver_leaves_the_other_metrics() -> None:
    class LostNvml(FakeNvml):
        def nvmlDeviceGetCount(self) -> int:  # noqa: N802
            raise self.NVMLError

    registry = CollectorRegistry()
    registry.register(GpuCollector(LostNvml()))
    Gauge("other", "of the same page", registry=registry).set(3)
    assert "other 3.0" in generate_latest(registry).decode()
    assert registry.get_sample_value("fcnserve_gpu_power_watts", {"gpu": "0"}) is None
