"""`python -m loadtest.peers.install [NAME ...]`: one environment per server, `build/peers/NAME`.

`requirements/NAME.txt` with exact versions in, an environment out. Torch is installed first and
alone, in the build that `deploy/install.py` chooses without a GPU, so that no requirement fetches
another. Called by `loadtest.peers.__main__` and `loadtest.peers.tuning`.
"""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from deploy.environment import make_environment, pip_install, say, torch_arguments
from deploy.pins import pinned_torch
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
    python = make_environment(folder)
    stamp_of(name).unlink(missing_ok=True)
    pip_install(python, "--no-deps", *torch_arguments(pinned_torch(ROOT), cuda=False))
    pip_install(python, "-r", str(REQUIREMENTS / f"{name}.txt"))
    stamp_of(name).write_text(requirements_of(name))


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Servers; all unless given.")] = None,
) -> None:
    """Install the servers that ours is compared with, each in an environment of its own."""
    install(names or [peer.name for peer in PEERS])


if __name__ == "__main__":
    typer.run(main)
