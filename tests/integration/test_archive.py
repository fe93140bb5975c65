"""The packed archive runs by itself, and is packed again exactly when its contents change."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from handlers.model_config import load_config
from handlers.runtime.device import choose_device
from handlers.runtime.model_card import model_digest
from model_store.tools.archive.package import package
from tests.support.server import CAT, MODEL, ROOT, Server, clean_environment

CLEAN_WORKER = ROOT / "tests" / "integration" / "clean_worker.py"
FOLDER = ROOT / "model_store" / MODEL


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the code and the model, which a test may change; its path has a space."""
    copy = tmp_path / "a copy"
    for name in ("handlers", "service", "model_store"):
        ignored = shutil.ignore_patterns("*.mar", "__pycache__")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    return copy


def start_packing(checkout: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "service.cli.main", "model", "package", f"model_store/{MODEL}"],
        cwd=checkout,
        env=clean_environment() | {"PYTHONPATH": str(checkout)},
        stdout=subprocess.PIPE,
        text=True,
    )


def pack(checkout: Path) -> Path:
    output, _ = start_packing(checkout).communicate(timeout=60)
    return Path(output.strip())


def test_the_archive_runs_in_an_interpreter_without_the_checkout(
    server: Server, cat: bytes, cat_mask: bytes, tmp_path: Path
) -> None:
    unzipped = tmp_path / "unzipped"
    with ZipFile(package(FOLDER, tmp_path)) as archive:
        archive.extractall(unzipped)
    run = subprocess.run(
        [sys.executable, str(CLEAN_WORKER), str(CAT)],
        cwd=unzipped,
        env=clean_environment()
        | {"PYTHONPATH": str(unzipped), "PYTHONSAFEPATH": "1"}
        | {"FCNSERVE_THREADS": "1"},  # as the server's
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr.decode()
    report = json.loads(run.stderr.splitlines()[-1])  # after what the worker logs
    assert report["classes"] == 1
    assert report["headers"]["Content-Type"] == "image/png"
    assert report["headers"]["X-Fcnserve-Model"] == server.post_photo(cat).headers["X-Model"]
    assert run.stdout == cat_mask
    files = [Path(file) for file in report["modules"].values()]
    ours = [file for file in files if file.is_relative_to(ROOT)]
    assert {file for file in ours if not file.is_relative_to(sys.prefix)} == {CLEAN_WORKER}
    assert not {"service", "model_store", "ts"} & set(report["modules"])


def test_packing_again_leaves_the_archive_as_it_is(tmp_path: Path) -> None:
    before = package(FOLDER, tmp_path).stat()
    after = package(FOLDER, tmp_path).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_two_folders_with_the_same_contents_give_the_same_bytes(
    checkout: Path, tmp_path: Path
) -> None:
    one = package(FOLDER, tmp_path).read_bytes()
    assert package(checkout / "model_store" / MODEL, checkout).read_bytes() == one


def test_a_changed_handler_is_packed(checkout: Path) -> None:
    archive = pack(checkout)
    before = archive.stat().st_ino
    changed = checkout / "handlers" / "stages" / "plan.py"
    changed.write_text(changed.read_text() + "\n# changed\n")
    assert pack(checkout) == archive
    assert archive.stat().st_ino != before
    with ZipFile(archive) as packed:
        assert packed.read("handlers/stages/plan.py") == changed.read_bytes()


def test_two_at_once_leave_one_complete_archive(checkout: Path) -> None:
    packers = [start_packing(checkout) for _ in range(3)]
    outputs = {packer.communicate(timeout=60)[0] for packer in packers}
    assert [packer.returncode for packer in packers] == [0] * len(packers)
    (archive,) = (Path(line.strip()) for line in outputs)
    with ZipFile(archive) as packed:
        assert packed.testzip() is None
    left = {path.name for path in (checkout / "model_store").iterdir()}
    assert {name for name in left if name.startswith(".")} == set()


def test_a_truncated_archive_is_packed_again(tmp_path: Path) -> None:
    archive = package(FOLDER, tmp_path)
    complete = archive.read_bytes()
    archive.write_bytes(complete[:-100_000])
    assert package(FOLDER, tmp_path).read_bytes() == complete


def test_a_store_that_cannot_be_written_serves_what_is_packed(tmp_path: Path) -> None:
    before = package(FOLDER, tmp_path).stat()
    tmp_path.chmod(0o555)
    try:
        assert package(FOLDER, tmp_path).stat().st_mtime_ns == before.st_mtime_ns
    finally:
        tmp_path.chmod(0o755)


def test_the_digest_changes_with_model_yaml(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / MODEL)
    config = load_config(FOLDER)
    device = choose_device(None, config.precision)
    before = model_digest(config, tmp_path / MODEL, device)
    assert model_digest(config, FOLDER, device) == before
    with (tmp_path / MODEL / "model.yaml").open("a") as file:
        file.write("# a remark\n")
    assert model_digest(config, tmp_path / MODEL, device) != before
