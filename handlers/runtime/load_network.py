"""The factory for networks: a device in, the network for it out.

Called by `handlers.pipeline`, and by the tools and benchmarks that run a model.
"""

from pathlib import Path

from handlers.model_config import ModelConfig
from handlers.runtime.device import Device
from handlers.runtime.network import Network
from handlers.runtime.network_cpu import CpuNetwork
from handlers.runtime.network_cuda import CudaNetwork


def load_network(device: Device, config: ModelConfig, folder: Path) -> Network:
    """Load the model in `folder` onto the device; raises WeightsError."""
    network = CudaNetwork if device.kind == "cuda" else CpuNetwork
    return network(config, folder, device)
