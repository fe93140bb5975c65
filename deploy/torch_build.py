"""Decides which build of torch is installed, and whether the installed one is right.

In: the pinned version, and the variables TORCH_BUILD and TORCH_INDEX. Out: the pip
arguments to try, in order. The CPU build is about 200 MB; the one that PyPI gives on Linux brings
gigabytes of CUDA, which a machine without a GPU has no use for.
Called by `deploy/environment.py`.
"""

import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.advice import InstallError

CPU_INDEX = "https://download.pytorch.org/whl/cpu"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way to get torch. A trial may fail: the next attempt follows without a word of error."""

    what: str
    arguments: tuple[str, ...]
    is_trial: bool = False


@dataclass(frozen=True, slots=True)
class Build:
    """An installed torch: its version, and the version of CUDA or ROCm it is built for."""

    version: str
    accelerator: str | None


def torch_attempts(version: str, gpu: bool, index: str, root: Path) -> tuple[Attempt, ...]:
    """The ways to get torch, best first. All leave its dependencies to the later, pinned step."""
    if index:
        named = ("--no-deps", "--index-url", index, f"torch=={version}")
        return (Attempt(f"from {index} (TORCH_INDEX)", named),)
    if gpu or platform.system() != "Linux":
        # "===" compares the text: a CPU wheel of the same version, "2.13.0+cpu", is no match.
        return (Attempt("PyPI's default build", ("--no-deps", f"torch==={version}")),)
    return (_local_wheel(version, root), _cpu_index(version))


def _local_wheel(version: str, root: Path) -> Attempt:
    folder = root / "wheels"
    links = ("--find-links", str(folder)) if folder.is_dir() else ()
    arguments = ("--no-index", "--no-deps", *links, f"torch=={version}")
    return Attempt("CPU build (no NVIDIA GPU here); is there a local wheel?", arguments, True)


def _cpu_index(version: str) -> Attempt:
    arguments = ("--no-deps", "--index-url", CPU_INDEX, f"torch=={version}+cpu")
    return Attempt(f"CPU build (no NVIDIA GPU here) from {CPU_INDEX}", arguments)


def wants_cuda(environ: Mapping[str, str]) -> bool:
    """What TORCH_BUILD says, cpu or cuda, for who installs on one machine what runs on another;
    else whether there is an NVIDIA GPU. Raises InstallError.
    """
    wanted = environ.get("TORCH_BUILD", "")
    if wanted not in {"", "cpu", "cuda"}:
        raise InstallError("choosing torch", f"TORCH_BUILD is {wanted!r}; set it to cpu or cuda")
    return wanted == "cuda" if wanted else has_nvidia_gpu()


def has_nvidia_gpu() -> bool:
    """Whether the driver lists at least one GPU; its tool alone proves nothing."""
    try:
        answer = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and "GPU " in answer.stdout


def installed_build(root: Path) -> Build | None:
    """What `.venv` holds, read from torch's own version file: importing it takes seconds."""
    for file in (root / ".venv").glob("lib/python3*/site-packages/torch/version.py"):
        return parse_build(file.read_text())
    return None


def parse_build(text: str) -> Build | None:
    """The build that torch/version.py describes."""
    version = re.search(r"^__version__ = '([^']+)'", text, re.MULTILINE)
    accelerator = re.search(r"^(?:cuda|hip)\b[^=]*= '([^']+)'", text, re.MULTILINE)
    return Build(version[1], accelerator[1] if accelerator else None) if version else None


def wrong_build(build: Build | None, version: str, gpu: bool, index: str) -> str:
    """Why the installed torch will not do; empty when it will. A named index is trusted."""
    if build is None:
        return "torch is not installed"
    if build.version.split("+")[0] != version:
        return f"torch {build.version} is installed; {version} is pinned"
    if index or bool(build.accelerator) == gpu or (gpu and platform.system() != "Linux"):
        return ""
    if gpu:
        return f"torch {build.version} is a CPU build, but there is an NVIDIA GPU"
    return f"torch {build.version} is built for CUDA {build.accelerator}, but there is no GPU"
