"""FLOPs: the rate that this machine reaches on matrix products, and the count of one frame.

Called by `loadtest.benchmark.rounds` and `loadtest.benchmark.data_set`.
"""

import time

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from handlers.runtime.device import Device
from handlers.shared.frame import Frame

MATRIX_SIDES = {"cpu": 2048, "cuda": 8192}
REPEATS = 5


def matrix_rate(device: Device) -> float:
    """Measure FLOP/s of the fastest of a few large matrix products, in the network's precision."""
    side = MATRIX_SIDES[device.kind]
    left, right = (
        torch.randn(side, side, device=device.torch_device).to(device.dtype) for _ in range(2)
    )
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        left @ right
        if device.kind == "cuda":
            torch.cuda.synchronize(device.torch_device)
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / min(seconds)


@torch.no_grad()
def frame_flops(net: nn.Module, frame: Frame) -> int:
    """Count one frame's FLOPs (a multiply and an add are two); `net` is on the meta device."""
    with FlopCounterMode(display=False) as counter:
        net(torch.empty((1, 3, *frame), device="meta"))
    flops: int = counter.get_total_flops()
    return flops
