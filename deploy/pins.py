"""Reads what pyproject.toml asks for, before anything is installed.

In: the checkout. Out: its requirements. Called by `deploy/environment.py` and `deploy/lock.py`.
"""

import tomllib
from pathlib import Path


def read_requirements(root: Path) -> dict[str, list[str]]:
    """The requirements by extra; those of the gateway, which all share, under ""."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return {"": project["dependencies"], **project["optional-dependencies"]}


def pinned_torch(root: Path) -> str:
    """The one version of torch that the worker runs with, without a build's "+cpu"."""
    (torch,) = (line for line in read_requirements(root)["worker"] if line.startswith("torch=="))
    return torch.removeprefix("torch==")
