"""The device that the network runs on, and its arithmetic; chosen once, when the worker starts.

Called by `handlers.pipeline`, which loads the network for the device.
"""

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from handlers.model_config import Precision
from handlers.shared.processors import usable_processors

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# names that torch.cpu.get_capabilities() has for arithmetic in bf16: x86 (two kinds), then Arm
CPU_BF16_CAPABILITIES = ("avx512_bf16", "amx_bf16", "bf16")
# Ampere, the first architecture of NVIDIA's with arithmetic in bf16; cuDNN has no kernels for older
CUDA_BF16_CAPABILITY = (8, 0)
# glibc's malloc.h, and the largest value that mallopt() takes
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Device:
    """A device with its precision, and its share of the processor's threads: for passes, or, beside
    a GPU, for codecs. A GPU has a number.
    """

    torch_device: torch.device
    precision: str
    threads: int

    def __post_init__(self) -> None:
        if self.kind == "cuda" and self.torch_device.index is None:  # torch.cuda.set_device() fails
            raise ValueError("a GPU without a number; give torch.device('cuda', 0)")

    @property
    def dtype(self) -> torch.dtype:
        return DTYPES[self.precision]

    @property
    def kind(self) -> str:
        """`cpu` or `cuda`."""
        return self.torch_device.type

    def numerics(self) -> str:
        """Name all that the last bit of a score can depend on, apart from weights and code."""
        if self.kind == "cuda":
            name = torch.cuda.get_device_name(self.torch_device)
            hardware = f"{name}, cuDNN {torch.backends.cudnn.version()}"  # type: ignore[no-untyped-call]
        else:
            hardware = f"{torch.backends.cpu.get_cpu_capability()}, {self.threads} threads"
        return f"{self.kind}, {hardware}, {self.precision}, torch {torch.__version__}"


class DeviceError(ValueError):
    """A device that is to be used and cannot be."""


def choose_device(gpu_id: int | None, precision: Precision) -> Device:
    """Return the GPU that TorchServe assigned to this worker, or else the CPU.

    Raises DeviceError for a GPU that torch cannot use: on the CPU it would be fifty times slower,
    and the operator would not know why.
    """
    if gpu_id is not None:
        check_gpu(gpu_id, precision.cuda)
        return Device(torch.device("cuda", gpu_id), precision.cuda, cpu_threads())
    name = precision.cpu
    if name == "auto":
        name = "bf16" if cpu_computes_bf16() else "fp32"
    return Device(torch.device("cpu"), name, cpu_threads())


def check_gpu(gpu_id: int, precision: str) -> None:
    """Raise DeviceError unless torch can compute on this GPU, in this precision."""
    if torch.version.cuda is None:
        raise DeviceError(
            f"GPU {gpu_id} is to be used, but torch {torch.__version__} is a build without CUDA; "
            "install with TORCH_BUILD=cuda, or hide the GPU with CUDA_VISIBLE_DEVICES="
        )
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]  # in torch
        name = torch.cuda.get_device_name(gpu_id)
        computes_bf16 = torch.cuda.get_device_capability(gpu_id) >= CUDA_BF16_CAPABILITY
    except (RuntimeError, AssertionError) as error:  # torch asserts that an index is in range
        raise DeviceError(
            f"GPU {gpu_id} is to be used, but CUDA cannot: {error}; check the driver with "
            "nvidia-smi, or hide the GPU with CUDA_VISIBLE_DEVICES="
        ) from error
    if precision == "bf16" and not computes_bf16:
        raise DeviceError(
            f"{name} does not compute in bf16; set precision: {{cuda: fp16}}, or fp32, in the "
            "model's model.yaml"
        )


def cpu_computes_bf16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in CPU_BF16_CAPABILITIES)


def cpu_threads() -> int:
    """Return FCNSERVE_THREADS, or this worker's share of the processors that it may use."""
    threads, workers = from_environment("FCNSERVE_THREADS"), from_environment("FCNSERVE_WORKERS")
    return threads or max(1, usable_processors() // max(1, workers))


def prepare_cpu(threads: int) -> None:
    """Prepare this process for passes on the CPU: its threads, and memory that it keeps.

    glibc hands blocks above 32 MB back to the kernel as soon as they are freed, and each next pass
    takes page faults on all of them: half its time, once photos share a pass.
    """
    torch.set_num_threads(threads)
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_THRESHOLD, LARGEST)
    libc.mallopt(M_TRIM_THRESHOLD, LARGEST)


def prepare_gpu(device: Device, *, exact: bool) -> None:
    """Prepare this thread for passes on a GPU: kernels are chosen by rule, in full precision; or by
    timing them, in any precision.

    Timing chooses anew in each process, so two workers could give different bits.
    """
    torch.cuda.set_device(device.torch_device)
    torch.set_num_threads(1)  # nothing that is computed beside it is worth a team of threads
    torch.backends.cudnn.benchmark = not exact  # until the end of the warm-up
    torch.backends.cudnn.deterministic = exact
    torch.backends.cudnn.allow_tf32 = not exact
    torch.backends.cuda.matmul.allow_tf32 = not exact
    # else sums of bf16 products may be rounded on their way, in an order that depends on the shape
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = not exact
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = not exact


def codec_threads(device: Device) -> ThreadPoolExecutor:
    """Start the threads that decode and encode beside the network; each computes by itself.

    Torch would give each a team of threads. As soon as there are more of them than processors
    OpenMP has all teams, the network's too, sleep at each barrier: twice the time of a pass.
    """
    return ThreadPoolExecutor(
        max(2, device.threads), "codec", initializer=prepare_thread, initargs=(device,)
    )


def prepare_thread(device: Device) -> None:
    """Prepare a thread beside the one with the network."""
    torch.set_num_threads(1)
    if device.kind == "cuda":  # else waiting for a copy would open the first GPU
        torch.cuda.set_device(device.torch_device)


def from_environment(name: str) -> int:
    """Read a count from the environment that TorchServe was started with; 0 where it is not set."""
    value = os.environ.get(name, "")
    if not (value.isascii() and value.isdigit()) and value:
        raise ValueError(f"{name} is {value!r}; set it to a whole number, or to 0 for automatic")
    return int(value or 0)
