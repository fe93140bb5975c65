"""Counts the GPUs: none means TorchServe's CPU settings, and torch's CPU build.

Called by `service.worker.torchserve` and, before anything is installed, by `deploy/environment.py`:
hence the standard library alone.
"""

import subprocess

ANSWER_S = 30


def gpu_count() -> int:
    """Ask the driver's own tool, as TorchServe does; its presence alone proves nothing."""
    try:
        answer = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=ANSWER_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in answer.stdout.splitlines())
