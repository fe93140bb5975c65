"""The tests of the client's package where it is installed alone: `make test-client`."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import ROOT, Server


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment, into which pip installs the client's wheel with its extras.

    All packages but this one come from the package index.
    """
    folder = tmp_path_factory.mktemp("empty")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    python = folder / "venv/bin/python"
    pip = [str(python), "-I", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    copy = shutil.copytree(ROOT / "client", folder / "client")  # setuptools leaves folders in it
    build = ["wheel", "--no-deps", "--wheel-dir", str(folder), str(copy)]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", f"{wheel}[shapely,supervision]"], check=True)
    return python


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("server") / "serve.log", {"FCNSERVE_WORKERS": "1"})
    try:
        yield started
    finally:
        started.end()
