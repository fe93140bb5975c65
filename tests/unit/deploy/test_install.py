"""The installer's decisions: Python, Java, torch, the stamp, what pip's lines mean."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.advice import InstallError, advice, cause
from deploy.environment import is_sound, only_one
from deploy.install import python_problem
from deploy.lock import version_of
from deploy.lock_file import GATEWAY, HEADER, Pin, read_pins, requirements_text
from deploy.pins import read_requirements
from deploy.pip_run import NOISE, LineFilter, Pip
from deploy.stamp import Stamp, fingerprint, read_stamp, remove_stamp, write_stamp
from deploy.torch_build import (
    CPU_INDEX,
    Build,
    has_nvidia_gpu,
    parse_build,
    torch_attempts,
    wants_cuda,
    wrong_build,
)
from service.worker.java import find_system_java, java_major, parse_java_major

ROOT = Path(__file__).resolve().parents[3]
CPU = Build("2.13.0+cpu", None)
CUDA = Build("2.13.0", "13.0")


@pytest.mark.parametrize(
    ("text", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25.0.2" 2026-01-20', 25),
        ('openjdk version "21" 2023-09-19', 21),
        ('java version "1.8.0_392"', 8),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "11.0.2"', 11),
        ('openjdk version "24-ea" 2025-03-18', 24),
        ("Unable to locate a Java Runtime.", None),
        ("", None),
    ],
)
def test_a_java_version_is_read(text: str, major: int | None) -> None:
    assert parse_java_major(text) == major


def _java(folder: Path, script: str) -> Path:
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\n{script}\n")
    java.chmod(0o755)
    return java


def test_a_broken_java_counts_as_none(tmp_path: Path) -> None:
    broken = _java(tmp_path, "echo 'error while loading shared libraries' >&2; exit 127")
    assert java_major(broken) is None
    assert java_major(tmp_path / "absent") is None


def test_an_old_java_home_gives_way_to_the_path(tmp_path: Path) -> None:
    old = _java(tmp_path / "old", "echo 'openjdk version \"11.0.2\"' >&2")
    new = _java(tmp_path / "new", "echo 'openjdk version \"21.0.1\"' >&2")
    environ = {"JAVA_HOME": str(old.parent.parent), "PATH": str(new.parent)}
    assert find_system_java(environ) == new
    assert find_system_java({"PATH": str(old.parent)}) is None


def test_without_a_gpu_torch_is_a_local_wheel_or_comes_from_the_cpu_index(tmp_path: Path) -> None:
    local, index = torch_attempts("2.13.0", False, "", tmp_path)
    assert local.is_trial
    assert local.arguments == ("--no-index", "--no-deps", "torch==2.13.0")
    assert not index.is_trial
    assert index.arguments == ("--no-deps", "--index-url", CPU_INDEX, "torch==2.13.0+cpu")


def test_a_wheels_folder_is_searched(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    local, _ = torch_attempts("2.13.0", False, "", tmp_path)
    assert ("--find-links", str(tmp_path / "wheels")) == local.arguments[2:4]


def test_with_a_gpu_torch_is_the_default_build_and_never_a_cpu_wheel(tmp_path: Path) -> None:
    (attempt,) = torch_attempts("2.13.0", True, "", tmp_path)
    assert attempt.arguments == ("--no-deps", "torch===2.13.0")


def test_a_build_may_be_wished_for_whatever_gpu_there_is() -> None:
    assert wants_cuda({"TORCH_BUILD": "cuda"})
    assert not wants_cuda({"TORCH_BUILD": "cpu"})
    assert wants_cuda({}) == has_nvidia_gpu()
    with pytest.raises(InstallError, match="set it to cpu or cuda"):
        wants_cuda({"TORCH_BUILD": "rocm"})


@pytest.mark.parametrize("gpu", [False, True])
def test_a_named_index_wins(tmp_path: Path, gpu: bool) -> None:
    (attempt,) = torch_attempts("2.13.0", gpu, "https://mirror/cu126", tmp_path)
    assert attempt.arguments[-3:] == ("--index-url", "https://mirror/cu126", "torch==2.13.0")


@pytest.mark.parametrize(
    ("build", "gpu", "index", "problem"),
    [
        pytest.param(CPU, False, "", "", id="cpu"),
        pytest.param(CUDA, True, "", "", id="gpu"),
        pytest.param(CUDA, False, "", "built for CUDA 13.0, but there is no GPU", id="cuda-no-gpu"),
        pytest.param(CUDA, False, "https://mirror", "", id="cuda-by-wish"),
        pytest.param(CPU, True, "", "a CPU build, but there is", id="cpu-on-gpu"),
        pytest.param(Build("2.12.0+cpu", None), False, "", "2.13.0 is pinned", id="old"),
        pytest.param(None, False, "", "not installed", id="none"),
    ],
)
def test_an_installed_torch_is_judged(
    build: Build | None, gpu: bool, index: str, problem: str
) -> None:
    text = wrong_build(build, "2.13.0", gpu, index)
    assert problem in text
    assert bool(text) == bool(problem)


def test_torchs_version_file_is_read() -> None:
    cpu = "__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\nhip: Optional[str] = None\n"
    cuda = "__version__ = '2.13.0'\ncuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n"
    assert (parse_build(cpu), parse_build(cuda), parse_build("")) == (CPU, CUDA, None)


def test_constraints_pin_what_pyproject_asks_for() -> None:
    pins = list(read_pins(ROOT))
    names = {pin.name for pin in pins} | {"torch"}  # of which each machine chooses a build
    for extra, lines in read_requirements(ROOT).items():
        asked = {Requirement(line) for line in lines}
        assert {canonicalize_name(one.name) for one in asked} <= names
        for pin in pins:
            wanted = [one for one in asked if canonicalize_name(one.name) == pin.name]
            assert all(pin.version in one.specifier for one in wanted)
            assert (extra or GATEWAY) in pin.extras or not wanted


def test_every_pin_has_hashes_and_none_is_overlooked() -> None:
    text = (ROOT / "constraints.txt").read_text()
    pins = list(read_pins(ROOT))
    assert text == HEADER + "".join(pin.text for pin in pins)
    assert [pin.name for pin in pins] == sorted({pin.name for pin in pins})
    for pin in pins:
        assert pin.sha256
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in pin.sha256)


def test_an_install_takes_the_packages_of_its_extras_alone() -> None:
    gateway = requirements_text(ROOT, [])
    worker = requirements_text(ROOT, ["worker"])
    assert "fastapi==" in gateway
    assert "torchserve==" not in gateway
    assert "\nfastapi==" in worker
    assert "\ntorchserve==" in worker
    assert "\nsympy==" in worker  # of torch's own requirements
    assert "\njdk4py==" not in worker
    assert "\ntorch==" not in worker


@pytest.mark.parametrize(
    ("filename", "version"),
    [
        ("numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", "2.4.6"),
        ("types_psutil-7.2.2.20261111.tar.gz", "7.2.2.20261111"),
        ("flask-cors-6.0.5.zip", "6.0.5"),
    ],
)
def test_the_version_of_a_file_is_read_from_its_name(filename: str, version: str) -> None:
    assert version_of(filename) == version


def test_a_file_with_another_hash_is_refused(tmp_path: Path) -> None:
    """By the pip that a fresh environment has, from a folder in place of an index."""
    wheel = tmp_path / "dull-1.0-py3-none-any.whl"
    with ZipFile(wheel, "w") as packed:
        packed.writestr(
            "dull-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: dull\nVersion: 1.0\n"
        )
        packed.writestr(
            "dull-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        packed.writestr("dull-1.0.dist-info/RECORD", "")
    for digest in (hashlib.sha256(wheel.read_bytes()).hexdigest(), "0" * 64):
        chosen = tmp_path / "chosen.txt"
        chosen.write_text(Pin("dull", "1.0", ("1" * 64, digest), ("gateway", "worker")).text)
        place = ("--no-index", "--find-links", str(tmp_path), "--target", str(tmp_path / digest))
        command = ["--require-hashes", *place, "-r", str(chosen)]
        if digest == "0" * 64:
            with pytest.raises(InstallError, match="another hash than the one that was tested"):
                Pip(Path(sys.executable), tmp_path).install(*command)
        else:
            assert Pip(Path(sys.executable), tmp_path).install(*command)


def test_a_stamp_covers_fewer_extras_and_no_other_torch_index(tmp_path: Path) -> None:
    have = Stamp("digest", frozenset({"worker", "test"}), "https://mirror")
    assert have.covers(Stamp("digest", frozenset({"worker"}), ""))
    assert not have.covers(Stamp("digest", frozenset({"java"}), ""))
    assert not have.covers(Stamp("other", frozenset(), ""))
    assert not have.covers(Stamp("digest", frozenset(), "https://elsewhere"))


def test_a_stamp_is_read_back_and_a_torn_one_is_none(tmp_path: Path) -> None:
    stamp = Stamp("digest", frozenset({"worker"}), "")
    write_stamp(tmp_path, stamp)
    assert read_stamp(tmp_path) == stamp
    (tmp_path / "fcnserve-stamp.json").write_text('{"fingerprint": "dig')
    assert read_stamp(tmp_path) is None
    remove_stamp(tmp_path)
    assert read_stamp(tmp_path) is None


def test_the_fingerprint_changes_with_the_pins_and_with_java(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]")
    (tmp_path / "constraints.txt").write_text("torch==2.13.0")
    first = fingerprint(tmp_path, {"PATH": ""})
    assert first == fingerprint(tmp_path, {"PATH": ""})
    assert first != fingerprint(tmp_path, {"PATH": "", "JAVA_HOME": "/opt/java"})
    (tmp_path / "constraints.txt").write_text("torch==2.14.0")
    assert first != fingerprint(tmp_path, {"PATH": ""})


def test_a_moved_environment_is_not_sound(tmp_path: Path) -> None:
    folder = tmp_path / ".venv"
    command = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(command, check=True)
    moved = tmp_path / "moved"
    folder.rename(moved)
    assert not is_sound(moved)
    assert not is_sound(tmp_path / "absent")


def test_the_lock_is_given_back(tmp_path: Path) -> None:
    for _ in range(2):
        with only_one(tmp_path):
            pass


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_noise_is_dropped_however_the_stream_is_cut(size: int) -> None:
    text = (
        "Collecting numpy\r\nRequirement already satisfied: rich in x\r\n"
        "  Downloading numpy (16 MB)\r\n   --- 1/16 MB\r   ------ 16/16 MB\r\n"
        "Requirement already satisfied: typer\nRequired by nobody\nend"
    )
    lines = LineFilter(NOISE)
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    shown = "".join(map(lines.feed, pieces)) + lines.end()
    assert shown == (
        "Collecting numpy\r\n  Downloading numpy (16 MB)\r\n"
        "   --- 1/16 MB\r   ------ 16/16 MB\r\nRequired by nobody\nend"
    )


def test_a_cursor_command_before_the_noise_does_not_hide_it() -> None:
    lines = LineFilter(NOISE)
    assert lines.feed("\x1b[?25hRequirement already satisfied: rich\n") == ""
    assert lines.feed("\x1b[?25h") + lines.end() == "\x1b[?25h"


@pytest.mark.parametrize(
    ("output", "hint"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("The virtual environment was not created: ensurepip is not\navailable", "python3.11-venv"),
        ("Retrying after NewConnectionError\nERROR: No matching distribution", "HTTPS_PROXY"),
        ("ERROR: No matching distribution found for torch==2.13.0+cpu", "TORCH_INDEX"),
        ("SSLError(1, 'CERTIFICATE_VERIFY_FAILED') Max retries exceeded", "PIP_CERT"),
        ("ERROR: ResolutionImpossible", "make lock"),
        ("ERROR: Hashes are required in --require-hashes mode, but they are missing", "make lock"),
        ("ERROR: In --require-hashes mode, all requirements must have", "make lock"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM", "another hash"),
        ("Segmentation fault", "make clean"),
    ],
)
def test_a_failure_comes_with_advice(output: str, hint: str) -> None:
    assert hint in advice(output)


def test_the_cause_is_the_errors_lines_or_else_the_last() -> None:
    assert cause("Collecting x\nERROR: no such thing\nnotice") == "  ERROR: no such thing"
    assert cause("one\n\ntwo") == "  one\n  two"


@pytest.mark.parametrize("version", [(3, 8), (3, 10), (3, 13)])
def test_another_python_is_refused_with_the_versions_that_work(version: tuple[int, int]) -> None:
    problem = python_problem(version)
    assert "3.11 or 3.12 is needed" in problem
    assert problem.startswith(f"this is Python {version[0]}.{version[1]}")


def test_the_installer_runs_with_the_standard_library_alone() -> None:
    modules = "deploy.environment, deploy.stamp, service.worker.java"
    check = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {modules}"
    subprocess.run([sys.executable, "-I", "-S", "-c", check], check=True)
