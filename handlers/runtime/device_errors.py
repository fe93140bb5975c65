"""Errors of a device: an exception in; whether memory was lacking, or the device is lost, out.

Called by `handlers.runtime.warm_up.run`, `handlers.runtime.network_cuda` and
`handlers.stages.outcome`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

import torch

# cudaErrorMemoryAllocation
CUDA_OUT_OF_MEMORY = 2
# of errors without a class or code of their own: pinned memory, recordings, libraries' handles
OUT_OF_MEMORY_MESSAGES = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC")
# cuDNN's, for a layer that none of its kernels computes: the GPU has none for its precision, or
# there is no memory for any kernel's workspace
NO_KERNEL_MESSAGE = "unable to find an engine"


class Failure(Enum):
    """What an exception of a stage or a forward pass means."""

    no_memory = "lack of memory"
    device_lost = "lost device"
    other = "other"


class KernelLostError(RuntimeError):
    """A pass was computed by other kernels than chosen by rule, and so will the next ones be."""


class FailedAllocations:
    """How often torch's allocator has found no memory on the current GPU: cuDNN hides the error."""

    def __init__(self) -> None:
        self._seen = 0

    def has_grown(self) -> bool:
        """Return whether an allocation has failed since the last call."""
        before = self._seen
        self._seen = torch.cuda.memory_stats_as_nested_dict().get("num_ooms", 0)
        return self._seen > before


failed_allocations = FailedAllocations()


@contextmanager
def kernels_by_rule(images: int) -> Iterator[None]:
    """Check that cuDNN has memory in this block for the kernels that it chooses by rule: else it
    takes others in silence, for this shape from then on, whose bits differ from those of other
    workers.

    Raises KernelLostError for a single pass, OutOfMemoryError for one that need not be shared.
    """
    failed_allocations.has_grown()  # those before have been reported, and changed no kernel
    yield
    if not failed_allocations.has_grown():
        return
    if images > 1:
        raise torch.OutOfMemoryError("no memory for the kernels of a shared pass")
    raise KernelLostError(
        "no memory was left on the GPU for a kernel's workspace, and another kernel was used: "
        "have fewer workers share it (FCNSERVE_WORKERS), or set batching: {exact: false}"
    )


def diagnose(error: Exception) -> Failure:
    """Find out what an exception means, by using the GPU where the exception does not tell: after
    an invalid argument all goes on, after an illegal access each later call fails.
    """
    if says_no_memory(error):
        return Failure.no_memory
    if isinstance(error, KernelLostError):
        return Failure.device_lost
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # in torch
        return Failure.other
    try:
        torch.cuda.synchronize()
        torch.ones(1, device="cuda").add_(1).item()
        memory_was_lacking = failed_allocations.has_grown() and NO_KERNEL_MESSAGE in str(error)
    except RuntimeError as probe_error:
        return Failure.no_memory if says_no_memory(probe_error) else Failure.device_lost
    return Failure.no_memory if memory_was_lacking else Failure.other


def says_no_memory(error: Exception) -> bool:
    """Check whether an error's class, code or message names a lack of memory, of the processor or
    of a GPU.
    """
    return (
        isinstance(error, (MemoryError, torch.OutOfMemoryError))
        or getattr(error, "error_code", None) == CUDA_OUT_OF_MEMORY
        or any(text in str(error) for text in OUT_OF_MEMORY_MESSAGES)
    )
