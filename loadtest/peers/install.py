"""`python -m loadtest.peers.install [NAME ...]`: one environment per server, `build/peers/NAME`.

`requirements/NAME.txt` with exact versions in, an environment out. Torch is installed first and
alone, in the build that `deploy/install.py` chooses without a GPU, so that no requirement fetches
another. Called by `loadtest.peers.__main__` and `loadtest.peers.tuning`.
"""

import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from deploy.environment import is_sound, say
from deploy.pins import pinned_torch
from deploy.pip_run import Pip
from deploy.torch_build import parse_build, torch_attempts, wrong_build
from loadtest.peers.catalogue import OURSELVES, PEERS, Peer
from service.settings import ROOT

FOLDER = ROOT / "build" / "peers"
REQUIREMENTS = Path(__file__).parent / "requirements"


def python_of(name: str) -> Path:
    return FOLDER / name / "bin" / "python"


def stamp_of(name: str) -> Path:
    return FOLDER / name / "installed.txt"


def requirements_of(name: str) -> str:
    """Return the requirements of an environment, without torch, as pip reads them."""
    return (REQUIREMENTS / f"{name}.txt").read_text()


def server_version(peer: Peer) -> str:
    """Return the pinned version of a server; of ours, the installed one."""
    if peer is OURSELVES:
        return version(peer.package)
    lines = requirements_of(peer.name).splitlines()
    (pinned,) = (line for line in lines if line.startswith(f"{peer.package}=="))
    return pinned.removeprefix(f"{peer.package}==")


def is_installed(name: str) -> bool:
    """Whether the current requirements were installed completely."""
    stamp = stamp_of(name)
    return stamp.exists() and stamp.read_text() == requirements_of(name)


def install(names: Sequence[str]) -> None:
    """Bring the environments up to date; raises InstallError."""
    for name in names:
        if not is_installed(name):
            install_one(name)


def install_one(name: str) -> None:
    folder = FOLDER / name
    say(f"{name}: {folder.relative_to(ROOT)}")
    if not is_sound(folder):
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    stamp_of(name).unlink(missing_ok=True)
    pip = Pip(python_of(name), ROOT)
    install_torch(pip, folder)
    pip.install("-r", str(REQUIREMENTS / f"{name}.txt"))
    stamp_of(name).write_text(requirements_of(name))


def install_torch(pip: Pip, folder: Path) -> None:
    """Try each source of torch's CPU build until the environment holds it."""
    version = pinned_torch(ROOT)
    for attempt in torch_attempts(version, gpu=False, index="", root=ROOT):
        if torch_problem(folder, version):
            pip.install(*attempt.arguments, is_trial=attempt.is_trial)
    if problem := torch_problem(folder, version):
        raise SystemExit(f"{folder.name}: {problem}")


def torch_problem(folder: Path, version: str) -> str:
    files = folder.glob("lib/python3*/site-packages/torch/version.py")
    build = next((parse_build(file.read_text()) for file in files), None)
    return wrong_build(build, version, gpu=False, index="")


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Servers; all unless given.")] = None,
) -> None:
    """Install the servers that ours is compared with, each in an environment of its own."""
    install(names or [peer.name for peer in PEERS])


if __name__ == "__main__":
    typer.run(main)
