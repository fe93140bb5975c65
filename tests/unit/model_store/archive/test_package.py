"""An archive holds all that a worker runs, is written atomically, and is reproducible."""

import json
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml

from model_store.tools.archive.model_folder import ModelFolderError
from model_store.tools.archive.package import HANDLERS, package
from tests.support.worker import write_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    return write_model(
        tmp_path / "model", weights=b"some weights", batching={"batch_size": {"cpu": 5, "cuda": 9}}
    )


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


def test_an_archive_holds_model_worker_and_manifest(folder: Path, store: Path) -> None:
    archive = package(folder, store)
    assert archive == store / "fcn8s-lite0.mar"
    with ZipFile(archive) as packed:
        names = set(packed.namelist())
        sources = {f"handlers/{path.relative_to(HANDLERS)}" for path in HANDLERS.rglob("*.py")}
        assert names == sources | {
            "entry.py",
            "model.yaml",
            "weights.safetensors",
            "torchserve.yaml",
            "MAR-INF/MANIFEST.json",
        }
        assert packed.read("weights.safetensors") == b"some weights"
        assert packed.read("entry.py") == (HANDLERS / "entry.py").read_bytes()
        model = json.loads(packed.read("MAR-INF/MANIFEST.json"))["model"]
        settings = yaml.safe_load(packed.read("torchserve.yaml"))
    assert model["modelName"] == "fcn8s-lite0"
    assert {model["handler"], model["configFile"]} <= names
    assert "batchSize" not in settings  # it depends on the machine that serves
    assert settings["startupTimeout"] >= 300  # a network of 500 MB on a busy machine
    assert settings["maxRetryTimeoutInSec"] < 2_147_483  # TorchServe multiplies it by 1000


def test_the_comment_is_a_digest_of_the_contents(folder: Path, store: Path) -> None:
    with ZipFile(package(folder, store)) as packed:
        comment = packed.comment
    assert len(bytes.fromhex(comment.decode())) == 32
    (folder / "weights.safetensors").write_bytes(b"other weights")
    with ZipFile(package(folder, store)) as packed:
        assert packed.comment != comment


def test_the_same_contents_give_the_same_bytes(folder: Path, store: Path) -> None:
    first = package(folder, store).read_bytes()
    (store / "fcn8s-lite0.mar").unlink()
    assert package(folder, store).read_bytes() == first


def test_an_archive_that_is_up_to_date_is_not_rewritten(folder: Path, store: Path) -> None:
    before = package(folder, store).stat()
    after = package(folder, store).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("existing", [b"", b"PK\x03\x04 half of an archive"], ids=["empty", "half"])
def test_a_broken_archive_is_replaced(folder: Path, store: Path, existing: bytes) -> None:
    (store / "fcn8s-lite0.mar").write_bytes(existing)
    with ZipFile(package(folder, store)) as packed:
        assert packed.testzip() is None


def test_without_weights_nothing_is_written(folder: Path, store: Path) -> None:
    (folder / "weights.safetensors").unlink()
    with pytest.raises((OSError, ModelFolderError), match=r"weights\.safetensors"):
        package(folder, store)
    assert list(store.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("name: [", "is not YAML", id="no-yaml"),
        pytest.param("nmae: a", "nmae", id="unknown-key"),
        pytest.param(None, r"no .*model\.yaml", id="missing"),
    ],
)
def test_a_folder_without_a_model_is_reported_and_nothing_written(
    folder: Path, store: Path, text: str | None, message: str
) -> None:
    if text is None:
        (folder / "model.yaml").unlink()
    else:
        (folder / "model.yaml").write_text(text)
    with pytest.raises(ModelFolderError, match=message):
        package(folder, store)
    assert list(store.iterdir()) == []


def test_a_failed_write_leaves_no_partial_file(folder: Path, store: Path) -> None:
    (store / "fcn8s-lite0.mar").mkdir()  # the rename fails
    with pytest.raises(OSError, match="directory"):
        package(folder, store)
    assert [path.name for path in store.iterdir()] == ["fcn8s-lite0.mar"]
