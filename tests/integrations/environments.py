"""Environments for the programs of other projects: requirements in, an environment's Python out.

Each is made once, with packages from the package index, and kept in `build/integrations`. Used by
`tests/integrations/conftest.py`.
"""

import fcntl
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.server import ROOT, clean_environment

FOLDER = ROOT / "build/integrations"
COMPLETE = "complete"  # a file of each environment whose packages are all installed
INSTALL_S = 600
NAME_END = re.compile(r"[^\w-]")  # of a package in a requirement

Environment = Callable[..., Path]
Run = Callable[..., str]


def environment_of(*requirements: str) -> Path:
    """Return the Python of an environment with these packages, as pip reads them, and no others but
    those that they need.
    """
    digest = hashlib.sha256("\n".join(requirements).encode()).hexdigest()[:8]
    folder = FOLDER / f"{re.split(NAME_END, requirements[0])[0]}-{digest}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / COMPLETE).exists():
            make(folder, requirements)
    return folder / "bin/python"


def make(folder: Path, requirements: tuple[str, ...]) -> None:
    """Make an environment, in place of one whose installation was interrupted."""
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin/python"), "-I", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", *requirements], check=True, timeout=INSTALL_S)
    (folder / COMPLETE).touch()


def run(python: Path, folder: Path, program: str, *arguments: str) -> str:
    """Run a Python program in an environment, with `folder` as its working directory; returns what
    it prints.
    """
    script = folder / "program.py"
    script.write_text(program)
    ran = subprocess.run(
        [str(python), str(script), *arguments],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    return ran.stdout
