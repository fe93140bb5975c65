"""Writes constraints.txt: the newest versions that pyproject.toml allows, in a fresh environment.

In: pyproject.toml. Out: constraints.txt, every package with its exact version, for all extras.
Called by `make lock`; the environment is made under `build/` and removed again.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from deploy.environment import BUILD_TOOLS, make_environment  # noqa: E402  (run as a file)
from deploy.pins import pinned_torch, read_requirements  # noqa: E402
from deploy.pip_run import Pip  # noqa: E402
from deploy.torch_build import torch_attempts  # noqa: E402

HEADER = "# Every package at the version that is installed and tested. Regenerate with: make lock\n"


def main() -> None:
    """Install everything unpinned, then write down what came."""
    place = ROOT / "build" / "lock"
    pip = Pip(make_environment(place), ROOT)
    try:
        install_newest(pip)
        (ROOT / "constraints.txt").write_text(HEADER + freeze(pip.python))
    finally:
        shutil.rmtree(place)


def install_newest(pip: Pip) -> None:
    """Install the CPU build of torch, then all requirements of all extras."""
    index = os.environ.get("TORCH_INDEX", "")
    for attempt in torch_attempts(pinned_torch(ROOT), False, index, ROOT):
        if pip.install(*attempt.arguments, is_trial=attempt.is_trial):
            break
    everything = [line for lines in read_requirements(ROOT).values() for line in lines]
    pip.install(*BUILD_TOOLS, *everything)


def freeze(python: Path) -> str:
    """The installed packages, one a line; torch without its build, which each machine chooses."""
    command = [str(python), "-I", "-m", "pip", "freeze", "--all", "--exclude", "pip"]
    return subprocess.check_output(command, text=True).replace("+cpu", "")


if __name__ == "__main__":
    main()
