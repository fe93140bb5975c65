"""The built wheel works outside the checkout: its commands, its model, its log configuration."""

import shutil
import signal
import site
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZipFile

import pytest
from PIL import Image

from tests.support.polling import wait_until
from tests.support.ports import free_port
from tests.support.server import CAT, MODEL, ROOT, START_S, STOP_S, clean_environment

# what pip reads to build the wheel: a copy, since setuptools leaves folders in it
SOURCES = ("service", "handlers", "model_store", "deploy", "client")
FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    checkout = folder / "checkout"
    for name in SOURCES:
        ignored = shutil.ignore_patterns("*.mar", "__pycache__")
        shutil.copytree(ROOT / name, checkout / name, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, checkout / name)
    offline = ("--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder))
    pip("wheel", *offline, str(checkout / "client"), str(checkout))
    (built,) = folder.glob("fcnserve-*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment with both wheels; a .pth file adds the packages that it depends on.

    Python reads no .pth files in a folder that a .pth file adds, so that the editable installation
    of the checkout has no effect.
    """
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    wheels = map(str, wheel.parent.glob("*.whl"))
    pip("--python", str(folder / "bin/python"), "install", "--no-deps", "--no-index", *wheels)
    (own,) = folder.glob("lib/python3*/site-packages")
    (own / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    return folder


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def run(environment: Path, folder: Path, *arguments: str) -> str:
    """Run `fcnserve` of the environment in a folder; returns what it prints."""
    command = [str(environment / "bin/fcnserve"), *arguments]
    return subprocess.check_output(command, cwd=folder, env=variables(folder), text=True)


def variables(folder: Path) -> dict[str, str]:
    dropped = {"PYTHONPATH", "XDG_CACHE_HOME"}
    kept = {name: value for name, value in clean_environment().items() if name not in dropped}
    return kept | {"HOME": str(folder.parent / "home"), "PYTHONDONTWRITEBYTECODE": "1"}


@contextmanager
def serving(environment: Path, folder: Path) -> Iterator[str]:
    """Run `fcnserve serve` in a folder; gives its URL once it is ready."""
    port = free_port()
    log = folder.parent / "log"
    with log.open("wb") as out:
        command = [str(environment / "bin/fcnserve"), "serve", "--port", str(port)]
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=variables(folder),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        wait_until(
            lambda: process.poll() is not None or "ready after" in log.read_text(),
            START_S,
            log.read_text,
        )
        assert process.poll() is None, log.read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(STOP_S) == 0, log.read_text()


def test_the_wheel_adds_one_name_to_site_packages(wheel: Path) -> None:
    with ZipFile(wheel) as packed:
        names = packed.namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"fcnserve"}
    inside = "fcnserve/handlers/entry.py", f"fcnserve/model_store/{MODEL}/weights.safetensors"
    logs = "fcnserve/deploy/torchserve/log4j2.xml", "fcnserve/deploy/torchserve/log4j2-json.xml"
    page = "fcnserve/service/page/static/index.html", "fcnserve/service/samples/cat.jpg"
    assert {*inside, *logs, *page} <= {*names}
    assert not [name for name in names if "/tests/" in name or "/loadtest/" in name]


def test_the_clients_wheel_has_every_module_and_its_types(wheel: Path) -> None:
    (client,) = wheel.parent.glob("fcnserve_client-*.whl")
    with ZipFile(client) as packed:
        names = {name for name in packed.namelist() if ".dist-info/" not in name}
    folder = ROOT / "client"
    modules = (folder / "fcnserve_client").rglob("*.py")
    expected = {str(path.relative_to(folder)) for path in modules}
    assert names == expected | {"fcnserve_client/py.typed"}


def test_the_commands_start_outside_the_checkout(environment: Path, empty: Path) -> None:
    assert run(environment, empty, "--version").startswith("fcnserve ")
    for command in ("gateway", "worker", "serve", "segment", "model package"):
        assert "Usage: fcnserve" in run(environment, empty, *command.split(), "--help")
    code = "import importlib.util; print(importlib.util.find_spec('service'))"
    found = subprocess.check_output(
        [str(environment / "bin/python"), "-c", code], cwd=empty, env=variables(empty), text=True
    )
    assert found == "None\n"


def test_a_model_is_loaded_into_a_process_by_the_installed_wheel(
    environment: Path, empty: Path
) -> None:
    code = f"import fcnserve; print(fcnserve.load({MODEL!r}).segment({str(CAT)!r}).classes['cat'])"
    command = [str(environment / "bin/python"), "-c", code]
    printed = subprocess.check_output(command, cwd=empty, env=variables(empty), text=True)
    assert "name='cat'" in printed


def test_a_photo_is_segmented_by_the_installed_wheel(environment: Path, empty: Path) -> None:
    with serving(environment, empty) as url:
        run(environment, empty, "segment", str(CAT), "--out", "mask.png", "--url", url)
    with Image.open(empty / "mask.png") as mask, Image.open(CAT) as photo:
        assert mask.size == photo.size
        assert len(mask.getcolors() or ()) > 1
    assert [path.name for path in empty.iterdir()] == ["mask.png"]
    listed = [line.split() for line in run(environment, empty, "model", "list").splitlines()]
    # name, version, architecture, classes, megabytes and their unit, packed
    assert {line[0]: line[6] for line in listed[1:]}[MODEL] == "yes"
    assert not list(environment.rglob("*.mar"))  # pip owns site-packages
    assert list((empty.parent / "home").rglob(f"{MODEL}.mar"))
