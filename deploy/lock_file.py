"""Reads and writes constraints.txt: each package's version, the hashes of its files, and the extras
that need it.

pip takes a file whose hash is none of those for damaged or forged, and refuses it. The standard
library alone, as all of the installer. Called by `deploy/environment.py` and `deploy/lock.py`.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

LOCK_FILE = "constraints.txt"
GATEWAY = "gateway"  # what all extras share
HEADER = """\
# Every package at the version that is installed and tested, with the SHA-256 of each of its files,
# and behind them who needs it. Regenerate with: make lock
# torch is not here: which of its builds is installed, and from where, depends on the machine
# (deploy/torch_build.py), and so do the packages of NVIDIA that only its CUDA build needs.
"""

_ENTRY = re.compile(
    r"^(?P<name>[\w.-]+)==(?P<version>\S+) \\\n(?P<hashes>(?: .*\\\n)* .*)  # (?P<extras>.*)$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Pin:
    """A package as it is installed."""

    name: str
    version: str
    sha256: tuple[str, ...]
    extras: tuple[str, ...]

    @property
    def text(self) -> str:
        hashes = " \\\n".join(f"    --hash=sha256:{digest}" for digest in self.sha256)
        return f"{self.name}=={self.version} \\\n{hashes}  # {' '.join(self.extras)}\n"


def read_pins(root: Path) -> Iterator[Pin]:
    """Read all pins of a checkout."""
    for entry in _ENTRY.finditer((root / LOCK_FILE).read_text()):
        digests = re.findall(r"sha256:(\w+)", entry["hashes"])
        extras = tuple(entry["extras"].split())
        yield Pin(entry["name"], entry["version"], tuple(digests), extras)


def write_pins(root: Path, pins: Iterable[Pin]) -> None:
    (root / LOCK_FILE).write_text(HEADER + "".join(pin.text for pin in pins))


def requirements_text(root: Path, extras: Iterable[str]) -> str:
    """Write the requirements file of the gateway with these extras, hashes and all."""
    wanted = {GATEWAY, *extras}
    return "".join(pin.text for pin in read_pins(root) if wanted & {*pin.extras})
