"""The first stage: versions, and the rates that all other figures are compared with.

Needs torch and numpy alone. Also the clock of the other stages.
"""

import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from statistics import median

import torch

from loadtest.gpu_check.catalogue import Scale
from loadtest.gpu_check.results import Cell, Fact, Item, Row

LIBRARIES = ("numpy", "triton", "pydantic", "pillow", "simplejpeg", "isal", "safetensors")
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
TF32 = "fp32 as tf32"
SMI_S = 10.0


def run(scale: Scale) -> Iterator[Item]:
    """Yield versions first: they tell whether torch sees the GPU at all."""
    yield from versions()
    yield from gpu_facts(scale)
    yield from copies(scale)
    for name in (*DTYPES, TF32):
        s = matrix_s(name, scale)
        cells: dict[str, Cell] = {"precision": name, "side": scale.matrix_side, "ms": s * 1000}
        yield Row("Matrix products", cells | {"TFLOP/s": 2e-12 * scale.matrix_side**3 / s})


def versions() -> Iterator[Item]:
    yield Fact("python", platform.python_version())
    yield Fact("torch", torch.__version__)
    for library in LIBRARIES:
        try:
            yield Fact(library, version(library))
        except PackageNotFoundError:
            yield Fact(library, "none")
    yield Fact("processors", len(os.sched_getaffinity(0)))


def gpu_facts(scale: Scale) -> Iterator[Item]:
    if scale.device != "cuda":
        return
    gpu = torch.cuda.get_device_properties(0)
    yield Fact("GPU", gpu.name)
    yield from driver_facts()
    yield Fact("capability", f"{gpu.major}.{gpu.minor}")
    yield Fact("multiprocessors", gpu.multi_processor_count)
    yield Fact("GPU memory, GB", gpu.total_memory / 1e9)
    yield Fact("CUDA", torch.version.cuda)
    yield Fact("cuDNN", torch.backends.cudnn.version())  # type: ignore[no-untyped-call]  # in torch


def driver_facts() -> Iterator[Item]:
    """Ask the driver's own tool, where it is, for what limits the rates."""
    query = (
        "driver_version",
        "power.limit",
        "clocks.max.sm",
        "clocks.max.memory",
        "ecc.mode.current",
    )
    command = ["nvidia-smi", "--id=0", f"--query-gpu={','.join(query)}", "--format=csv,noheader"]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SMI_S)
        for name, value in zip(query, done.stdout.split(","), strict=False):
            yield Fact(name, value.strip())


def copies(scale: Scale) -> Iterator[Item]:
    """Time copies on the device (bytes read and written), and from and to pinned memory."""
    there = torch.ones(scale.copied_bytes, dtype=torch.uint8, device=scale.device)
    other = torch.empty_like(there)
    some = there[: scale.copied_bytes // 8]
    host = torch.ones(len(some), dtype=torch.uint8, pin_memory=scale.device == "cuda")
    for name, target, source, factor in (
        ("on the device", other, there, 2),
        ("up, from pinned memory", some, host, 1),
        ("down, to pinned memory", host, some, 1),
    ):
        work = lambda to=target, it=source: to.copy_(it, non_blocking=True)  # noqa: E731
        s = typical_s(work, scale)
        yield Row(
            "Copies",
            {"copy": name, "MB": len(source) / 1e6, "GB/s": factor * len(source) / s / 1e9},
        )


def matrix_s(name: str, scale: Scale) -> float:
    """Return the seconds of a product of two square matrices of random numbers."""
    dtype = DTYPES.get(name, torch.float32)
    side = scale.matrix_side
    left, right = (torch.randn(side, side, device=scale.device).to(dtype) for _ in range(2))
    torch.backends.cuda.matmul.allow_tf32 = name == TF32
    try:
        return typical_s(lambda: left @ right, scale)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False


def matrix_flops_per_s(name: str, scale: Scale) -> float:
    """Return the rate that shares of the matrix rate are of."""
    return 2 * scale.matrix_side**3 / matrix_s(name, scale)


def typical_s(work: Callable[[], object], scale: Scale) -> float:
    """Return the seconds of one call: the median over rounds of calls that are queued without
    waiting, so the time is the device's, or where launches take longer, theirs.
    """
    work()
    synchronise(scale)
    seconds = []
    for _ in range(scale.rounds):
        started = time.perf_counter()
        for _ in range(scale.repeats):
            work()
        synchronise(scale)
        seconds.append((time.perf_counter() - started) / scale.repeats)
    return median(seconds)


def synchronise(scale: Scale) -> None:
    if scale.device == "cuda":
        torch.cuda.synchronize()
