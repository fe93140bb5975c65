"""The device that the network runs on, and its arithmetic; chosen once, when the worker starts.

Called by `handlers.pipeline`, which loads the network for the device.
"""

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from handlers.model_config import Precision

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# names that torch.cpu.get_capabilities() has for arithmetic in bf16: x86 (two kinds), then Arm
CPU_BF16_CAPABILITIES = ("avx512_bf16", "amx_bf16", "bf16")
# glibc's malloc.h, and the largest value that mallopt() takes
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST = 2**31 - 1
# cudaErrorMemoryAllocation; cuBLAS and cuDNN report it only in their messages
CUDA_OUT_OF_MEMORY = 2
OUT_OF_MEMORY_MESSAGES = ("CUBLAS_STATUS_ALLOC_FAILED", "unable to find an engine")


@dataclass(frozen=True, slots=True)
class Device:
    """A device with its precision, and its share of the processor's threads: for passes, or, beside
    a GPU, for codecs.
    """

    torch_device: torch.device
    precision: str
    threads: int

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


def choose_device(gpu_id: int | None, precision: Precision) -> Device:
    """Return the GPU that TorchServe assigned to this worker, or else the CPU."""
    if gpu_id is not None and torch.cuda.is_available():
        return Device(torch.device("cuda", gpu_id), precision.cuda, cpu_threads())
    name = precision.cpu
    if name == "auto":
        name = "bf16" if cpu_computes_bf16() else "fp32"
    return Device(torch.device("cpu"), name, cpu_threads())


def cpu_computes_bf16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in CPU_BF16_CAPABILITIES)


def cpu_threads() -> int:
    """Return FCNSERVE_THREADS, or this worker's share of the processors that it may use."""
    threads, workers = from_environment("FCNSERVE_THREADS"), from_environment("FCNSERVE_WORKERS")
    return threads or max(1, len(os.sched_getaffinity(0)) // max(1, workers))


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
    torch.backends.cudnn.benchmark = (
        False  # except while passes are recorded: `handlers.runtime.network_cuda`
    )
    torch.backends.cudnn.deterministic = exact
    torch.backends.cudnn.allow_tf32 = not exact
    torch.backends.cuda.matmul.allow_tf32 = not exact
    # else sums of bf16 products may be rounded on their way, in an order that depends on the shape
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = not exact
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = not exact


def lacks_memory(error: Exception) -> bool:
    """Check whether an error is a lack of memory.

    The allocator of maps has its own error; pinned memory, recordings and libraries do not.
    """
    return (
        isinstance(error, (MemoryError, torch.OutOfMemoryError))
        or getattr(error, "error_code", None) == CUDA_OUT_OF_MEMORY
        or any(text in str(error) for text in OUT_OF_MEMORY_MESSAGES)
    )


def is_lost(error: Exception) -> bool:
    """Check whether the process has lost its device: every device error but a lack of memory."""
    if lacks_memory(error):
        return False
    if isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error):
        return True
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # in torch
        try:  # such an error shows at each call, whatever library met it first
            torch.cuda.synchronize()
        except RuntimeError:
            return True
    return False


def codec_threads(device: Device) -> ThreadPoolExecutor:
    """Start the threads that decode and encode beside the network; each computes by itself.

    Torch would give each a team of threads. As soon as there are more of them than processors
    OpenMP has all teams, the network's too, sleep at each barrier: twice the time of a pass.
    """

    def begin() -> None:
        torch.set_num_threads(1)
        if device.kind == "cuda":  # else waiting for a copy would open the first GPU
            torch.cuda.set_device(device.torch_device)

    return ThreadPoolExecutor(max(2, device.threads), "codec", initializer=begin)


def from_environment(name: str) -> int:
    """Read a count from the environment that TorchServe was started with; 0 where it is not set."""
    value = os.environ.get(name, "")
    if not (value.isascii() and value.isdigit()) and value:
        raise ValueError(f"{name} is {value!r}; set it to a whole number, or to 0 for automatic")
    return int(value or 0)
