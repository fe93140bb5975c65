"""What a process used, and what the machine could give: CPU time, memory, matrix rate, FLOPs."""

import os
import resource
import time
from functools import cache
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from handlers.runtime.device import Device
from handlers.shared.frame import Frame
from service.worker.gpu_metrics import connect_nvml

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# fields of /proc/PID/stat behind the name in brackets, proc_pid_stat(5)
PARENT, USER_TICKS, SYSTEM_TICKS = 1, 11, 12
RESET_PEAK = "5"  # proc_pid_clear_refs(5)
MATRIX_SIDES = {"cpu": 2048, "cuda": 8192}
REPEATS = 5


def own_cpu_s() -> float:
    """User and system time of this process, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def cpu_s(pid: int) -> float:
    """User and system time of a process, all threads; to 10 ms."""
    fields = stat(pid)
    return (int(fields[USER_TICKS]) + int(fields[SYSTEM_TICKS])) / TICKS_PER_S


def machine_busy_s() -> float:
    """User and system time of everything on this machine; to 10 ms."""
    first_line = Path("/proc/stat").read_text().partition("\n")[0]
    user, nice, system, _idle, _waiting, *interrupts = map(int, first_line.split()[1:8])
    return (user + nice + system + sum(interrupts)) / TICKS_PER_S


def descendants(pid: int) -> list[int]:
    """List all processes below `pid`."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(stat(int(folder.name))[PARENT])
        except OSError:
            continue  # it has just ended
    found = [pid]
    for parent in found:  # grows as it goes
        found += [child for child, its_parent in parents.items() if its_parent == parent]
    return found[1:]


def stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had in use since `reset_peak`."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def reset_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text(RESET_PEAK)


def gpu_peak_bytes() -> dict[str, int]:
    """Tell the most GPU memory that tensors have had since `reset_gpu_peak`, where there is one."""
    return {"gpu": torch.cuda.max_memory_allocated()} if torch.cuda.is_available() else {}


def reset_gpu_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


nvml = cache(connect_nvml)


def gpu_joules() -> float | None:
    """Tell the energy that all GPUs have used since the driver was loaded, where they tell it."""
    if not nvml():
        return None
    handles = map(nvml().nvmlDeviceGetHandleByIndex, range(nvml().nvmlDeviceGetCount()))
    try:
        return sum(map(float, map(nvml().nvmlDeviceGetTotalEnergyConsumption, handles))) / 1000
    except nvml().NVMLError:
        return None


class Energy:
    """What GPUs use from here on; nothing where there are none that tell."""

    def __init__(self) -> None:
        self._before = gpu_joules()

    def joules(self) -> float | None:
        after = gpu_joules()
        return None if self._before is None or after is None else after - self._before


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
    """Count a lone frame's FLOPs (a multiply and an add are two); `net` is on the meta device."""
    with FlopCounterMode(display=False) as counter:
        net(torch.empty((1, 3, *frame), device="meta"))
    flops: int = counter.get_total_flops()
    return flops
