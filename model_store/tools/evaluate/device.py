"""torch's name of a device in, the checked device in the precision of serving out.

Called by `fcnserve model train` and `evaluate`.
"""

import torch

from handlers.model_config import Precision
from handlers.runtime.device import Device, DeviceError, choose_device

__all__ = ["DeviceError", "check_device", "device_of"]


def check_device(name: str) -> None:
    """Raise DeviceError for an invalid name, and for a device that torch does not have here."""
    try:
        kind = torch.device(name).type
    except RuntimeError as error:
        raise DeviceError(f"device {name} is no device; use cpu, cuda or cuda:1") from error
    if kind not in {"cpu", "cuda"} or (kind == "cuda" and not torch.cuda.is_available()):
        raise DeviceError(
            f"device {name}: torch has no such device here; use cpu, or install a build of "
            "torch that has it"
        )


def device_of(name: str, precision: Precision) -> Device:
    """Give the device, in the precision that serving has on it."""
    device = torch.device(name)
    return choose_device((device.index or 0) if device.type == "cuda" else None, precision)
