"""Device, precision and threads follow the machine, `model.yaml` and the operator."""

import os
from types import SimpleNamespace

import pytest
import torch

from handlers.model_config import Precision
from handlers.runtime.device import Device, DeviceError, choose_device, cpu_threads, prepare_gpu
from handlers.shared import processors
from tests.support.worker import cpu


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FCNSERVE_THREADS", raising=False)
    monkeypatch.delenv("FCNSERVE_WORKERS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        pytest.param({"avx2": True, "avx512_bf16": False}, "fp32", id="avx2"),
        pytest.param({"avx512_f": True}, "fp32", id="avx512-without-bf16"),
        pytest.param({"avx512_bf16": True}, "bf16", id="avx512-bf16"),
        pytest.param({"amx_bf16": True}, "bf16", id="amx"),
        pytest.param({"bf16": True}, "bf16", id="arm"),
        pytest.param({}, "fp32", id="unknown"),
    ],
)
def test_auto_is_bf16_where_the_processor_computes_in_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert choose_device(None, Precision()).precision == precision


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_named_precision_is_taken(precision: str) -> None:
    device = choose_device(None, Precision.model_validate({"cpu": precision}))
    assert device.precision == precision
    assert device.dtype == {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]


def fake_cuda(
    monkeypatch: pytest.MonkeyPatch,
    build: str | None = "13.0",
    capability: tuple[int, int] = (9, 0),
) -> None:
    monkeypatch.setattr(torch.version, "cuda", build)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _gpu: "Fake GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _gpu: capability)


def test_the_worker_takes_the_gpu_that_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cuda(monkeypatch)
    device = choose_device(3, Precision(cuda="fp16"))
    assert (device.torch_device, device.precision) == (torch.device("cuda", 3), "fp16")
    assert choose_device(None, Precision()).kind == "cpu"


def test_a_gpu_is_not_replaced_by_the_cpu_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cuda(monkeypatch, build=None)
    with pytest.raises(DeviceError, match="a build without CUDA; install with TORCH_BUILD=cuda"):
        choose_device(0, Precision())


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("The NVIDIA driver on your system is too old"),
        AssertionError("Invalid device id"),
    ],
)
def test_a_gpu_that_the_driver_does_not_give_is_named(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails() -> None:
        raise error

    fake_cuda(monkeypatch)
    monkeypatch.setattr(torch.cuda, "init", fails)
    with pytest.raises(DeviceError, match=f"GPU 2 is to be used, but CUDA cannot: {error}"):
        choose_device(2, Precision())


def test_a_gpu_without_bf16_is_refused_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cuda(monkeypatch, capability=(7, 5))
    with pytest.raises(DeviceError, match="Fake GPU does not compute in bf16; set precision"):
        choose_device(0, Precision())
    assert choose_device(0, Precision(cuda="fp16")).precision == "fp16"


@pytest.mark.parametrize("exact", [True, False])
def test_a_gpus_kernels_are_timed_only_where_bits_do_not_count(
    monkeypatch: pytest.MonkeyPatch, exact: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "set_device", lambda _device: None)
    monkeypatch.setattr(torch, "set_num_threads", lambda _threads: None)
    matmul = SimpleNamespace()
    monkeypatch.setattr(torch.backends.cuda, "matmul", matmul)
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=False):
        prepare_gpu(Device(torch.device("cuda", 0), "bf16", 1), exact=exact)
        assert torch.backends.cudnn.benchmark is not exact
        assert torch.backends.cudnn.deterministic is exact
        assert matmul.allow_tf32 is not exact
        assert matmul.allow_bf16_reduced_precision_reduction is not exact


def test_a_gpu_has_a_number() -> None:
    with pytest.raises(ValueError, match="a GPU without a number"):
        Device(torch.device("cuda"), "bf16", 1)


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        pytest.param({}, 8, id="one-worker"),
        pytest.param({"FCNSERVE_WORKERS": "3"}, 2, id="a-share"),
        pytest.param({"FCNSERVE_WORKERS": "20"}, 1, id="more-workers-than-processors"),
        pytest.param({"FCNSERVE_THREADS": "5", "FCNSERVE_WORKERS": "3"}, 5, id="as-configured"),
        pytest.param({"FCNSERVE_THREADS": "0", "FCNSERVE_WORKERS": "2"}, 4, id="automatic"),
        pytest.param({"FCNSERVE_THREADS": "", "FCNSERVE_WORKERS": ""}, 8, id="empty"),
    ],
)
def test_threads_are_the_operators_or_a_share(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], threads: int
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert choose_device(None, Precision()).threads == threads


@pytest.mark.parametrize("value", ["-1", "two", "1.5"])
def test_an_invalid_count_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("FCNSERVE_THREADS", value)
    with pytest.raises(ValueError, match=f"FCNSERVE_THREADS is '{value}'"):
        choose_device(None, Precision())


def test_numerics_name_what_the_last_bit_depends_on() -> None:
    numerics = {cpu("fp32", 1).numerics(), cpu("fp32", 2).numerics(), cpu("bf16", 1).numerics()}
    assert len(numerics) == 3
    assert all(torch.__version__ in each for each in numerics)


def test_threads_are_the_share_of_the_time_that_a_container_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processors, "limit_of_time", lambda: 4.0)
    monkeypatch.setenv("FCNSERVE_WORKERS", "2")
    assert cpu_threads() == 2
