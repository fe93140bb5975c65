"""Workers are counted by the GPUs that CUDA shows to them."""

from pathlib import Path

import pytest

from service.worker import gpus
from service.worker.gpus import gpu_count, visible_devices, worker_gpus

LISTED = (
    "GPU 0: NVIDIA H100 (UUID: GPU-aaaa1111)\n"
    "  MIG 1g.10gb     Device  0: (UUID: MIG-dddd4444)\n"
    "GPU 1: NVIDIA H100 (UUID: GPU-bbbb2222)\n"
    "GPU 2: NVIDIA H100 (UUID: GPU-cccc3333)\n"
)


@pytest.mark.parametrize(
    ("visible", "shown"),
    [
        pytest.param(None, ["0", "1", "2"], id="not-set"),
        pytest.param("", [], id="none"),
        pytest.param("-1", [], id="none-by-minus-one"),
        pytest.param("NoDevFiles", [], id="none-by-a-word"),
        pytest.param("2,0", ["2", "0"], id="numbers"),
        pytest.param("2, 0", ["2", "0"], id="a-space"),
        pytest.param("1,7,2", ["1"], id="ends-at-one-that-is-not-there"),
        pytest.param("1,1", ["1"], id="ends-at-a-repeat"),
        pytest.param("GPU-bbbb,GPU-aaaa1111", ["GPU-bbbb", "GPU-aaaa1111"], id="uuids"),
        pytest.param("GPU-eeee", [], id="an-unknown-uuid"),
        pytest.param("MIG-dddd4444", ["MIG-dddd4444"], id="a-slice-of-a-gpu"),
    ],
)
def test_devices_are_shown_as_cuda_reads_its_variable(
    visible: str | None, shown: list[str]
) -> None:
    assert visible_devices(LISTED, visible) == shown


@pytest.fixture
def three_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\nprintf '%s' '{LISTED}'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("three_gpus")
def test_hidden_gpus_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu_count() == 3
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert gpu_count() == 1


@pytest.mark.usefixtures("three_gpus")
@pytest.mark.parametrize(("build", "count"), [("2.13.0+cpu", 0), ("2.13.0+cu130", 3)])
def test_torchs_cpu_build_uses_no_gpu(
    monkeypatch: pytest.MonkeyPatch, build: str, count: int
) -> None:
    monkeypatch.setattr(gpus, "version", lambda _package: build)
    assert worker_gpus() == count
