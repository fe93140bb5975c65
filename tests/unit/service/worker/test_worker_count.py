"""The number of Python workers suits the machine, unless the settings fix it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.shared import processors as usable
from service.settings import Settings
from service.worker import worker_count as module
from service.worker.command import environment
from service.worker.gpus import gpu_count
from service.worker.worker_count import worker_count, worker_threads

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


def test_a_limit_of_time_counts_as_well_as_the_number_of_processors(
    monkeypatch: pytest.MonkeyPatch,
    driver: Path,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(16)))
    monkeypatch.setattr(usable, "limit_of_time", lambda: 2.0)
    assert worker_count(Settings(), gpu_count()) == 2


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
    assert "OMP_WAIT_POLICY" not in environment(Settings(models=("a",)), 1, 0, tmp_path, tmp_path)
    two = Settings(models=("a", "b"))
    assert environment(two, 1, 0, tmp_path, tmp_path)["OMP_WAIT_POLICY"] == "passive"
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")  # the operator's choice is kept
    assert environment(two, 1, 0, tmp_path, tmp_path)["OMP_WAIT_POLICY"] == "active"


@pytest.fixture
def processors(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return what sets the number of processors, as a container's limit does."""
    return lambda count: monkeypatch.setattr(module, "usable_processors", lambda: count)


@pytest.mark.parametrize(
    ("count", "gpus", "workers"),
    [
        *((1, 1, 2), (4, 1, 2), (6, 1, 2), (7, 1, 3), (16, 1, 3), (256, 1, 3)),
        *((12, 2, 4), (32, 2, 6), (48, 8, 16), (128, 8, 24)),
    ],
)
def test_each_gpu_has_workers_for_the_photos_that_its_processors_can_decode(
    processors: Callable[[int], None], count: int, gpus: int, workers: int
) -> None:
    processors(count)
    assert worker_count(Settings(), gpus) == workers


def test_the_driver_tells_how_many_gpus_have_workers(
    driver: Path, processors: Callable[[int], None]
) -> None:
    processors(8)
    write_tool(driver, TWO_GPUS)
    assert worker_count(Settings(), gpu_count()) == 4


def test_each_of_several_models_has_two_workers_a_gpu(processors: Callable[[int], None]) -> None:
    processors(64)
    assert worker_count(Settings(models=("a", "b")), 2) == 4


@pytest.mark.parametrize(
    ("count", "gpus", "threads"),
    [(1, 1, 2), (4, 1, 2), (6, 1, 3), (16, 1, 5), (128, 1, 16), (128, 8, 5), (16, 8, 2)],
)
def test_the_workers_of_gpus_share_the_processors_for_decoding(
    processors: Callable[[int], None], count: int, gpus: int, threads: int
) -> None:
    processors(count)
    workers = worker_count(Settings(), gpus)
    assert worker_threads(Settings(), workers, gpus) == threads


def test_the_models_of_gpus_share_the_processors_for_decoding(
    processors: Callable[[int], None],
) -> None:
    processors(64)
    assert worker_threads(Settings(models=("a", "b")), 2, 1) == 16
    assert worker_threads(Settings(models=("a", "b", "c", "d")), 2, 1) == 8


def test_the_setting_overrides_the_number_of_codec_threads(
    processors: Callable[[int], None],
) -> None:
    processors(64)
    assert worker_threads(Settings(threads=3), 2, 1) == 3


def test_workers_get_their_number_and_that_of_their_threads(tmp_path: Path) -> None:
    variables = environment(Settings(workers=9, threads=9), 3, 5, tmp_path, tmp_path)
    assert (variables["FCNSERVE_WORKERS"], variables["FCNSERVE_THREADS"]) == ("3", "5")


@pytest.mark.parametrize("threads", [0, 5])
def test_without_a_gpu_a_worker_counts_its_own_threads(threads: int) -> None:
    assert worker_threads(Settings(threads=threads), 2, 0) == threads


def test_a_failing_driver_counts_as_no_gpu(monkeypatch: pytest.MonkeyPatch, driver: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0})
    write_tool(driver, TWO_GPUS, exit_code=9)
    assert worker_count(Settings(), gpu_count()) == 1


def test_the_setting_overrides_the_number_of_gpus(driver: Path) -> None:
    write_tool(driver, TWO_GPUS)
    assert worker_count(Settings(workers=1), gpu_count()) == 1
