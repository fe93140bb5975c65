"""Counts the GPUs: none means TorchServe's CPU settings, and torch's CPU build.

Called by `service.worker.torchserve` and, before anything is installed, by `deploy/environment.py`:
hence the standard library alone.
"""

import os
import subprocess
from importlib.metadata import PackageNotFoundError, version

ANSWER_S = 30
CPU_BUILD = "+cpu"


def worker_gpus() -> int:
    """Count the GPUs that workers can use: none with torch's CPU build, where nothing is lost by
    it, as it is what was installed.
    """
    try:
        is_cpu_build = version("torch").endswith(CPU_BUILD)
    except PackageNotFoundError:
        return 0
    return 0 if is_cpu_build else gpu_count()


def gpu_count() -> int:
    """Count the GPUs that CUDA shows to this process: those that the driver's own tool lists, its
    presence alone proves nothing, less those that CUDA_VISIBLE_DEVICES hides.
    """
    try:
        answer = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=ANSWER_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    return len(visible_devices(answer.stdout, os.environ.get("CUDA_VISIBLE_DEVICES")))


def visible_devices(listed: str, visible: str | None) -> list[str]:
    """Return which devices of the output of `nvidia-smi -L` CUDA shows: numbers or UUIDs.

    As CUDA reads the variable (CUDA C++ Programming Guide, "Environment Variables"): numbers, and
    UUIDs that may be cut short, up to the first that names no device.
    """
    gpus = [line for line in listed.splitlines() if line.startswith("GPU ")]
    if visible is None:
        return [str(number) for number in range(len(gpus))]
    shown: list[str] = []
    for name in (part.strip() for part in visible.split(",")):
        is_number = name.isascii() and name.isdigit() and int(name) < len(gpus)
        is_uuid = name.startswith(("GPU-", "MIG-")) and f"UUID: {name}" in listed
        if not (is_number or is_uuid) or name in shown:
            break
        shown.append(name)
    return shown
