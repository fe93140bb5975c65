"""A lack of memory stops one image, a lost device ends the worker, and all else does neither."""

from collections.abc import Callable
from contextlib import suppress

import pytest
import torch

from handlers.runtime import device_errors
from handlers.runtime.device_errors import (
    FailedAllocations,
    Failure,
    KernelLostError,
    diagnose,
    kernels_by_rule,
)
from handlers.shared.errors import WorkerFailedError, WorkerOutOfMemoryError
from handlers.stages.outcome import EX_SOFTWARE, translate

NO_KERNEL = RuntimeError("GET was unable to find an engine to execute this computation")
ILLEGAL_ACCESS = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


class FakeGpu:
    """A GPU whose calls may fail, and whose allocator counts what it could not give."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failed_allocations = 0
        self.error: Exception | None = None
        stats: Callable[[], dict[str, int]] = lambda: {"num_ooms": self.failed_allocations}  # noqa: E731 - short
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.cuda, "synchronize", self._synchronize)
        monkeypatch.setattr(torch.cuda, "memory_stats_as_nested_dict", stats)
        monkeypatch.setattr(torch, "ones", lambda *_size, device: torch.zeros(1))
        monkeypatch.setattr(device_errors, "failed_allocations", FailedAllocations())

    def _synchronize(self) -> None:
        if self.error:
            raise self.error


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    return FakeGpu(monkeypatch)


def with_code(code: int) -> Exception:
    error = torch.AcceleratorError("CUDA error")
    error.error_code = code  # type: ignore[attr-defined]  # set in C++
    return error


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(MemoryError(), id="of-the-processor"),
        pytest.param(torch.OutOfMemoryError("CUDA out of memory"), id="allocator"),
        pytest.param(with_code(2), id="by-its-code"),
        pytest.param(RuntimeError("CUDA error: out of memory"), id="without-a-code"),
        pytest.param(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), id="cublas"),
    ],
)
def test_a_lack_of_memory_is_known_by_the_error(error: Exception) -> None:
    assert diagnose(error) is Failure.no_memory


def test_without_a_gpu_nothing_is_lost() -> None:
    assert diagnose(RuntimeError("shape mismatch")) is Failure.other
    assert diagnose(NO_KERNEL) is Failure.other


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(RuntimeError("CUDA error: invalid argument"), id="argument"),
        pytest.param(torch.AcceleratorError("CUDA error: invalid configuration"), id="launch"),
        pytest.param(NO_KERNEL, id="no-kernel"),
    ],
)
def test_a_gpu_that_still_computes_is_not_lost(gpu: FakeGpu, error: Exception) -> None:
    assert diagnose(error) is Failure.other


@pytest.mark.parametrize("error", [ILLEGAL_ACCESS, RuntimeError("shape mismatch"), NO_KERNEL])
def test_a_gpu_that_fails_each_call_is_lost(gpu: FakeGpu, error: Exception) -> None:
    gpu.error = ILLEGAL_ACCESS
    assert diagnose(error) is Failure.device_lost


def test_a_probe_without_memory_is_no_loss(gpu: FakeGpu) -> None:
    gpu.error = RuntimeError("CUDA error: out of memory")
    assert diagnose(RuntimeError("shape mismatch")) is Failure.no_memory


def test_a_missing_kernel_is_a_lack_of_memory_where_an_allocation_has_failed(gpu: FakeGpu) -> None:
    gpu.failed_allocations += 1
    assert diagnose(NO_KERNEL) is Failure.no_memory
    assert diagnose(NO_KERNEL) is Failure.other  # since then none has


@pytest.mark.parametrize(("images", "error"), [(1, KernelLostError), (2, torch.OutOfMemoryError)])
def test_kernels_dropped_for_want_of_memory_give_no_answer(
    gpu: FakeGpu, images: int, error: type[Exception]
) -> None:
    with pytest.raises(error, match="no memory"), kernels_by_rule(images):
        gpu.failed_allocations += 1  # which cuDNN hides
    with kernels_by_rule(images):
        pass


@pytest.mark.parametrize("images", [1, 16])
def test_a_pass_after_one_without_memory_keeps_its_kernels(gpu: FakeGpu, images: int) -> None:
    with suppress(torch.OutOfMemoryError), kernels_by_rule(images):
        gpu.failed_allocations += 1
        raise torch.OutOfMemoryError("of the pass")
    with kernels_by_rule(1):
        pass
    gpu.failed_allocations += 1  # between the passes, as for the labels of a huge photo
    with kernels_by_rule(1):
        pass


def test_a_change_of_kernels_ends_the_worker() -> None:
    assert diagnose(KernelLostError("another kernel")) is Failure.device_lost


def test_a_worker_that_has_lost_its_gpu_ends(
    gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[int] = []
    monkeypatch.setattr("os._exit", ended.append)
    monkeypatch.setattr("logging.shutdown", lambda: None)
    assert isinstance(translate(RuntimeError("odd"), "a-request"), WorkerFailedError)
    assert isinstance(translate(MemoryError(), "a-request"), WorkerOutOfMemoryError)
    assert ended == []
    gpu.error = ILLEGAL_ACCESS
    translate(ILLEGAL_ACCESS, "a-request")
    assert ended == [EX_SOFTWARE]
    assert "the device is lost" in caplog.text
