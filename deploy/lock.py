"""Writes constraints.txt: the newest versions that pyproject.toml allows, in a fresh environment.

In: pyproject.toml. Out: constraints.txt, for all extras every package with its exact version and
the hashes of all its files, as the package index gives them. Called by `make lock`; `--keep` keeps
the versions that constraints.txt has. The environment is made under `build/` and removed again.
"""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from deploy.environment import BUILD_TOOLS, make_environment  # noqa: E402  (run as a file)
from deploy.lock_file import GATEWAY, Pin, read_pins, write_pins  # noqa: E402
from deploy.pins import pinned_torch, read_requirements  # noqa: E402
from deploy.pip_run import Pip  # noqa: E402
from deploy.torch_build import torch_attempts  # noqa: E402

PYPI = "https://pypi.org/simple"
INDEX_FORMAT = "application/vnd.pypi.simple.v1+json"  # PEP 691


def main() -> None:
    """Install everything, then write down what came."""
    place = ROOT / "build" / "lock"
    pip = Pip(make_environment(place), ROOT)
    kept = [f"{pin.name}=={pin.version}" for pin in read_pins(ROOT)] if "--keep" in sys.argv else []
    try:
        install_all(pip, kept, place)
        write_pins(ROOT, list(pins(pip.python)))
    finally:
        shutil.rmtree(place)


def install_all(pip: Pip, kept: list[str], place: Path) -> None:
    """Install the CPU build of torch, then all requirements of all extras."""
    index = os.environ.get("TORCH_INDEX", "")
    for attempt in torch_attempts(pinned_torch(ROOT), False, index, ROOT):
        if pip.install(*attempt.arguments, is_trial=attempt.is_trial):
            break
    everything = [line for lines in requirements().values() for line in lines]
    constraints = place / "kept.txt"
    constraints.write_text("\n".join(kept))
    pip.install("-c", str(constraints), *everything)


def requirements() -> dict[str, list[str]]:
    """The requirements by extra; what builds the checkout's own package is everybody's."""
    extras = read_requirements(ROOT)
    return {GATEWAY: [*extras.pop(""), *BUILD_TOOLS], **extras}


def pins(python: Path) -> Iterator[Pin]:
    """Pin what is installed, but torch, whose build each machine chooses."""
    command = [str(python), "-I", str(ROOT / "deploy" / "closure.py")]
    needed = subprocess.check_output(command, input=json.dumps(requirements()), text=True)
    index = index_url(python)
    for name, (version, extras) in json.loads(needed).items():
        if name != "torch":
            yield Pin(name, version, hashes(index, name, version), tuple(extras))


def index_url(python: Path) -> str:
    """The package index that pip is told to use."""
    command = [str(python), "-I", "-m", "pip", "config", "get", "global.index-url"]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return os.environ.get("PIP_INDEX_URL") or told or PYPI


def hashes(index: str, name: str, version: str) -> tuple[str, ...]:
    """The SHA-256 of every file of a release: for all systems, and its source."""
    request = urllib.request.Request(  # noqa: S310 - the index is the user's own
        f"{index.rstrip('/')}/{name}/", headers={"Accept": INDEX_FORMAT}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        files = json.load(answer)["files"]
    found = {file["hashes"]["sha256"] for file in files if version_of(file["filename"]) == version}
    if not found:
        raise SystemExit(f"{index} has no files of {name} {version}")
    return tuple(sorted(found))


def version_of(filename: str) -> str:
    """The version in the name of a wheel or of a source archive."""
    if filename.endswith(".whl"):
        return filename.split("-")[1]
    return filename.removesuffix(".zip").removesuffix(".tar.gz").rpartition("-")[2]


if __name__ == "__main__":
    main()
