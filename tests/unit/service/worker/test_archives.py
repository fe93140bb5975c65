"""Every model that can be packed is packed, whatever is wrong with the others."""

import errno
import shutil
from pathlib import Path
from zipfile import ZipFile

import pytest
from structlog.testing import capture_logs

from model_store.tools.archive import package as packing
from service.settings import Settings
from service.worker.archives import pack_models
from tests.support.worker import write_model


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for name in ("good", "other"):
        (tmp_path / name).mkdir()
        write_model(tmp_path / name, weights=b"some weights", name=name)
    return tmp_path


def settings(store: Path, *models: str) -> Settings:
    return Settings(model_store=store, models=models)


def break_model(store: Path, how: str) -> None:
    folder = store / "other"
    if how == "key":
        (folder / "model.yaml").write_text("nmae: other")
    elif how == "weights":
        (folder / "weights.safetensors").unlink()
    elif how == "name":
        write_model_named(folder, "another")
    else:
        break_archive(store, folder, packing.package(folder, store), how)


def break_archive(store: Path, folder: Path, archive: Path, how: str) -> None:
    """Leave only the archive, and break it."""
    elsewhere = folder.rename(store / "elsewhere")
    if how == "gone":
        archive.unlink()
    elif how == "renamed":
        write_model_named(elsewhere, "third")
        packing.package(elsewhere, store).replace(archive)
    elif how == "no-archive":
        archive.write_bytes(b"PK")
    elif how == "of-another-release":
        with ZipFile(archive, "w") as packed:
            packed.writestr("MAR-INF/MANIFEST.json", '{"model": {"modelName": "other"}}')
            packed.writestr("model.yaml", "nmae: other")
    elif how == "damaged":
        contents = archive.read_bytes()
        archive.write_bytes(contents.replace(b"some weights", b"sOme weights"))


def write_model_named(folder: Path, name: str) -> None:
    (folder / "weights.safetensors").unlink()
    write_model(folder, weights=b"some weights", name=name)


REASONS = {
    "key": "nmae: there is no such key; did you mean name?",
    "weights": "weights.safetensors",
    "name": "names its model 'another'",
    "gone": "no model 'other': neither",
    "renamed": "holds a model named 'third'",
    "no-archive": "is no archive of a model",
    "of-another-release": "nmae: there is no such key; did you mean name?",
    "damaged": "other.mar is damaged, in weights.safetensors",
}


@pytest.mark.parametrize("how", REASONS)
def test_a_model_that_cannot_be_packed_is_logged_and_left_out(store: Path, how: str) -> None:
    break_model(store, how)
    with capture_logs() as logs:
        assert pack_models(settings(store, "other", "good")) == ["good"]
    (line,) = logs
    assert (line["event"], line["model"]) == ("the model is left out", "other")
    assert REASONS[how] in line["reason"]
    assert "\n" not in line["reason"]


@pytest.mark.parametrize("how", REASONS)
def test_the_start_fails_when_no_model_can_be_packed(store: Path, how: str) -> None:
    break_model(store, how)
    with pytest.raises((OSError, ValueError), match=REASONS[how].replace("?", r"\?")):
        pack_models(settings(store, "other"))


def test_archives_without_folders_are_used_unchanged(store: Path) -> None:
    packing.package(store / "other", store)
    (store / "other").rename(store / "elsewhere")
    before = (store / "other.mar").read_bytes()
    assert pack_models(settings(store, "good", "other")) == ["good", "other"]
    assert (store / "other.mar").read_bytes() == before
    assert (store / "good.mar").exists()


def test_a_store_that_cannot_be_written_needs_current_archives(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packing.package(store / "good", store)

    def read_only(*_arguments: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(packing, "write_archive", read_only)
    with capture_logs() as logs:
        assert pack_models(settings(store, "other", "good")) == ["good"]
    assert f"run `fcnserve model package {store}/other`" in logs[0]["reason"]


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG], ids=errno.errorcode.get
)
def test_a_full_store_is_named_in_the_error(
    store: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(number, "No space left on device")

    monkeypatch.setattr(packing, "write_archive", full)
    with pytest.raises(ValueError, match=f"{store} has no room for good.mar; make room in it"):
        pack_models(settings(store, "good"))


def test_a_full_temporary_folder_is_named_before_the_start(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(store)
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: usage._replace(free=2_000_000))
    with pytest.raises(ValueError, match=r"tmp has 2 MB left, .*: [0-9] MB; make room"):
        pack_models(settings(store, "good", "other"))
