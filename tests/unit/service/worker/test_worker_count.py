"""The number of Python workers suits the machine, unless the settings fix it."""

import os
from pathlib import Path

import pytest

from service.settings import Settings
from service.worker.command import environment
from service.worker.gpus import gpu_count
from service.worker.worker_count import worker_count

TWO_GPUS = "GPU 0: NVIDIA H100 (UUID: GPU-1)\n  MIG 1g.10gb\nGPU 1: NVIDIA H100 (UUID: GPU-2)\n"


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the path of the driver's tool, which is not there yet."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "nvidia-smi"


def write_tool(path: Path, output: str, exit_code: int = 0) -> None:
    path.write_text(f"#!/bin/sh\nprintf '%s' '{output}'\nexit {exit_code}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(("processors", "workers"), [(1, 1), (2, 2), (16, 4)])
def test_there_is_one_worker_per_processor_up_to_four(
    monkeypatch: pytest.MonkeyPatch, driver: Path, processors: int, workers: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(processors)))
    assert worker_count(Settings(), gpu_count()) == workers


@pytest.mark.parametrize(
    ("models", "processors", "workers"), [(2, 2, 2), (2, 16, 2), (3, 2, 1), (9, 16, 1)]
)
def test_several_models_share_the_four_workers(
    monkeypatch: pytest.MonkeyPatch, driver: Path, models: int, processors: int, workers: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(processors)))
    names = tuple(f"model{number}" for number in range(models))
    assert worker_count(Settings(models=names), gpu_count()) == workers


def test_threads_of_several_models_sleep_at_barriers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert "OMP_WAIT_POLICY" not in environment(Settings(models=("a",)), 1, tmp_path, tmp_path)
    two = Settings(models=("a", "b"))
    assert environment(two, 1, tmp_path, tmp_path)["OMP_WAIT_POLICY"] == "passive"
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")  # the operator's choice is kept
    assert environment(two, 1, tmp_path, tmp_path)["OMP_WAIT_POLICY"] == "active"


def test_each_gpu_has_two_workers(driver: Path) -> None:
    write_tool(driver, TWO_GPUS)
    assert worker_count(Settings(), gpu_count()) == 4


def test_a_failing_driver_counts_as_no_gpu(monkeypatch: pytest.MonkeyPatch, driver: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0})
    write_tool(driver, TWO_GPUS, exit_code=9)
    assert worker_count(Settings(), gpu_count()) == 1


def test_the_setting_overrides_the_number_of_gpus(driver: Path) -> None:
    write_tool(driver, TWO_GPUS)
    assert worker_count(Settings(workers=1), gpu_count()) == 1
