"""Reads and writes constraints.txt: the version of each package, the SHA-256 of each of its files,
and the extras that need it.

pip refuses a file with another hash as damaged or forged. Called by the installer, which has the
standard library alone, and by `deploy/lock/packages.py`.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

LOCK_FILE = "constraints.txt"
GATEWAY = "gateway"  # what every extra builds on: the dependencies without an extra
CLIENT = "client"  # the folder of the second package of the checkout, on which the first depends
HEADER = """\
# Every package at the version that is installed and tested, with the SHA-256 of each of its files,
# followed by the extras that need it. Regenerate with: make lock
# torch is not here: the machine decides which of its builds is installed, and from which index
# (deploy/install.py); nor are the packages of NVIDIA that only its CUDA build needs.
"""

_ENTRY = re.compile(
    r"^(?P<name>[a-z0-9][\w.-]*)==(?P<version>\S+)(?P<hashes>[^#]*)# (?P<extras>.*)$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Pin:
    """One package, its only version that is installed, and the extras that need it."""

    name: str
    version: str
    sha256: tuple[str, ...]
    extras: tuple[str, ...]

    @property
    def text(self) -> str:
        hashes = " \\\n".join(f"    --hash=sha256:{digest}" for digest in self.sha256)
        return f"{self.name}=={self.version} \\\n{hashes}  # {' '.join(self.extras)}\n"


def read_pins(root: Path) -> Iterator[Pin]:
    for entry in _ENTRY.finditer((root / LOCK_FILE).read_text()):
        digests = re.findall(r"sha256:(\w+)", entry["hashes"])
        yield Pin(entry["name"], entry["version"], tuple(digests), tuple(entry["extras"].split()))


def write_pins(root: Path, pins: Iterable[Pin]) -> None:
    (root / LOCK_FILE).write_text(HEADER + "".join(pin.text for pin in pins))


def pins_of(root: Path, extras: Iterable[str]) -> list[Pin]:
    """Return the pins of the gateway with these extras."""
    chosen = {GATEWAY, *extras}
    return [pin for pin in read_pins(root) if chosen & {*pin.extras}]


def read_requirements(root: Path) -> dict[str, list[str]]:
    """Return the requirements in pyproject.toml by extra; those without one under "gateway".

    In the place of the client package, which comes from the checkout, are its own requirements.
    """
    project, client = (
        tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        for folder in (root, root / CLIENT)
    )
    others = [line for line in project["dependencies"] if not line.startswith(client["name"])]
    return {GATEWAY: [*others, *client["dependencies"]], **project["optional-dependencies"]}


def pinned_torch(root: Path) -> str:
    """Return the one version of torch, without a build's "+cpu"."""
    (torch,) = (line for line in read_requirements(root)["worker"] if line.startswith("torch=="))
    return torch.removeprefix("torch==")
