"""The command and the environment that start a server of the comparison, ours included.

An entry of the catalogue in, what `service.subprocesses` runs out. Called by
`loadtest.peers.server`.
"""

import os
import sys
from pathlib import Path

from loadtest.peers.catalogue import OUR_NAME, Entry
from loadtest.peers.install import python_of
from loadtest.peers.servers.setup import Setup
from service.settings import ROOT


def command(entry: Entry, log: Path) -> list[str]:
    """Build the command that runs a server; its output goes to a file."""
    if entry.peer.name == OUR_NAME:
        program = [sys.executable, "-m", "service.cli.main", "serve"]
    else:
        python = str(python_of(entry.peer.name))
        program = [python, "-m", f"loadtest.peers.servers.on_{entry.peer.name}"]
    return ["sh", "-c", 'exec "$@" >"$0" 2>&1', str(log), *program]


def environment(entry: Entry, setup: Setup, folder: str) -> dict[str, str]:
    """Build a server's environment; it sets the threads of all servers but ours."""
    if entry.peer.name == OUR_NAME:
        model = Path(setup.model)
        store = Path(folder, "store")
        store.mkdir()
        (store / model.name).symlink_to(model)
        return os.environ | {
            "FCNSERVE_PORT": str(setup.port),
            "FCNSERVE_MODEL_STORE": str(store),
            "FCNSERVE_MODELS": model.name,
            "FCNSERVE_THREADS": "0",
        }
    bin_folder = python_of(entry.peer.name).parent
    return (
        os.environ
        | setup.environment()
        | dict(entry.peer.environment)
        | {
            "FCNSERVE_THREADS": str(entry.threads),
            "OMP_NUM_THREADS": str(entry.threads),
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PEER_FOLDER": folder,
        }
    )
