"""The machine and the versions of a measurement, without host names or paths.

Called by the reports of all rooms, and by `tests.faults.results`.
"""

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from handlers.runtime.device import Device
from service.settings import ROOT
from service.worker.java import find_java

CPU_FLAGS = ("avx2", "avx512", "amx")
PACKAGES = ("torch", "torchserve", "numpy", "uvicorn", "simplejpeg")


def environment_facts(
    packages: Sequence[str] = (), device: Device | None = None
) -> dict[str, object]:
    """Return the facts of every report: hardware, versions, also of further packages, revision."""
    return {"hardware": hardware(device), "versions": versions(packages), "revision": revision()}


def hardware(device: Device | None = None) -> dict[str, object]:
    text = Path("/proc/cpuinfo").read_text()
    fields = dict(
        [part.strip() for part in line.split(":", 1)] for line in text.splitlines() if ":" in line
    )
    flags = fields.get("flags", fields.get("Features", "")).split()
    found: dict[str, object] = {
        "cpu": fields.get("model name", platform.machine()),
        "cores": len(os.sched_getaffinity(0)),
        "flags": sorted(flag for flag in flags if flag.startswith(CPU_FLAGS)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
    }
    if device is not None and device.kind == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device.torch_device)
    return found


def versions(packages: Sequence[str] = ()) -> dict[str, str]:
    found = {"python": platform.python_version(), "java": java_version()}
    for package in (*PACKAGES, *packages):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def java_version() -> str:
    java = find_java()
    if java is None:
        return "none"
    done = subprocess.run([str(java), "-version"], capture_output=True, text=True, check=False)
    return (done.stderr or done.stdout).partition('"')[2].partition('"')[0]


def revision() -> str:
    """Return the commit that is checked out, with `+` where files differ from it."""
    try:
        commit = git("rev-parse", "--short=12", "HEAD").strip()
        return commit + ("+" if git("status", "--porcelain").strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
