"""Writes constraints.txt: the newest versions that pyproject.toml allows, and their hashes.

In: pyproject.toml; with `--keep` also constraints.txt, whose versions stay. Out: constraints.txt,
with every package of all extras. Called by `make lock`. pip resolves and installs nothing; the
hashes are those of the package index, PIP_INDEX_URL, for the files of all systems. pip-tools and uv
do not write which extra needs a package, and pin one build of torch for all machines.
"""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from deploy.environment import torch_arguments  # noqa: E402 - this is run as a file
from deploy.pins import (  # noqa: E402
    GATEWAY,
    Pin,
    pinned_torch,
    read_pins,
    read_requirements,
    write_pins,
)

BUILD_TOOLS = ("setuptools",)  # build the checkout's own package, whatever the extra
PYPI = "https://pypi.org/simple"
INDEX_FORMAT = "application/vnd.pypi.simple.v1+json"  # PEP 691

Metadata = Mapping[str, Any]  # of a package: name, version, requires_dist


def main() -> None:
    """Resolve all extras together, and write the pins."""
    by_extra = read_requirements(ROOT)
    by_extra[GATEWAY] += BUILD_TOOLS
    kept = [f"{pin.name}=={pin.version}" for pin in read_pins(ROOT)] if "--keep" in sys.argv else []
    packages = resolve([line for lines in by_extra.values() for line in lines], kept)
    write_pins(ROOT, pins(by_extra, packages))


def resolve(requirements: Iterable[str], kept: Iterable[str]) -> dict[str, Metadata]:
    """Ask pip which packages it would install, with the CPU build of torch."""
    torch = torch_arguments(pinned_torch(ROOT), cuda=False)
    options = ["--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    with NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write("\n".join(kept))
        constraints.flush()
        command = [sys.executable, "-m", "pip", "install", *options, "-c", constraints.name, *torch]
        report = json.loads(subprocess.check_output([*command, *requirements]))
    found = [each["metadata"] for each in report["install"]]
    return {canonicalize_name(each["name"]): each for each in found}


def pins(by_extra: Mapping[str, list[str]], packages: Mapping[str, Metadata]) -> Iterator[Pin]:
    """Pin all packages but torch, whose build each machine chooses."""
    needed = {extra: closure(lines, packages) for extra, lines in by_extra.items()}
    for name in sorted(packages):
        if name != "torch":
            version = packages[name]["version"]
            extras = tuple(extra for extra, names in needed.items() if name in names)
            yield Pin(name, version, hashes(name, version), extras)


def closure(requirements: Iterable[str], packages: Mapping[str, Metadata]) -> set[str]:
    """Name the packages that requirements need on this machine, directly or not."""
    found: set[tuple[str, str]] = set()
    left = [each for requirement in requirements for each in parse(requirement, "")]
    while left:
        name, extra = each = left.pop()
        if each not in found:
            found.add(each)
            for requirement in packages[name].get("requires_dist", ()):
                left.extend(parse(requirement, extra))
    return {name for name, _ in found}


def parse(requirement: str, extra: str) -> Iterator[tuple[str, str]]:
    """Give a requirement's package with each extra that it names, where its marker holds here."""
    parsed = Requirement(requirement)
    if parsed.marker is None or parsed.marker.evaluate({"extra": extra}):
        for its_extra in ("", *parsed.extras):
            yield canonicalize_name(parsed.name), its_extra


def hashes(name: str, version: str) -> tuple[str, ...]:
    """Return the SHA-256 of every file of a release: for all systems, and its source."""
    index = os.environ.get("PIP_INDEX_URL", PYPI).rstrip("/")
    request = urllib.request.Request(  # noqa: S310 - the index is the user's own
        f"{index}/{name}/", headers={"Accept": INDEX_FORMAT}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        files = json.load(answer)["files"]
    found = {file["hashes"]["sha256"] for file in files if version_of(file["filename"]) == version}
    if not found:
        raise SystemExit(f"{index} has no files of {name} {version}")
    return tuple(sorted(found))


def version_of(filename: str) -> str:
    """Return the version in the name of a wheel or of a source archive."""
    if filename.endswith(".whl"):
        return filename.split("-")[1]
    return filename.removesuffix(".zip").removesuffix(".tar.gz").rpartition("-")[2]


if __name__ == "__main__":
    main()
