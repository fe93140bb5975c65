"""`fcnserve model list` shows the models of a store, and the state of their archives."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from handlers.model_config import MODEL_FILE
from model_store.tools.archive.listing import CURRENT, OTHER_CODE, STALE, UNPACKED, stored_models
from model_store.tools.archive.package import package
from service.cli.main import app
from tests.support.worker import change_model

PETS = ("background", "cat", "dog")


def run(*arguments: object) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, ["model", *map(str, arguments)])
    return found.exit_code, found.stdout, found.stderr


def test_a_store_is_listed_with_the_state_of_its_archives(pets: Path, tmp_path: Path) -> None:
    assert [each.packed for each in stored_models(tmp_path)] == [UNPACKED]
    archive = package(pets, tmp_path)
    (listed,) = stored_models(tmp_path)
    assert listed.packed == CURRENT
    assert listed.archive_digest
    assert listed.weights_bytes == (pets / "weights.safetensors").stat().st_size
    change_model(pets, version="1.1")
    (listed,) = stored_models(tmp_path)
    assert (listed.packed, listed.config and listed.config.version) == (STALE, "1.1")
    (pets / MODEL_FILE).unlink()
    archive.rename(tmp_path / "alone.mar")
    (listed,) = stored_models(tmp_path)
    assert (listed.name, listed.packed) == ("alone", CURRENT)
    assert listed.config
    assert listed.config.classes == PETS


def test_an_archive_of_another_release_is_marked(
    pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(pets, tmp_path)
    (pets / MODEL_FILE).unlink()
    monkeypatch.setattr(
        "model_store.tools.archive.listing.worker_sources", lambda: iter([("handlers/x.py", b"")])
    )
    (listed,) = stored_models(tmp_path)
    assert listed.packed == OTHER_CODE


def test_broken_models_are_listed_beside_the_others(pets: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / MODEL_FILE).write_text("name: broken\n")
    (tmp_path / "half.mar").write_bytes(b"PK")
    code, out, err = run("list", tmp_path)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["name", "broken", "half", "pets"]
    assert "architecture: this key is missing" in err
    assert "half.mar is no archive of ours" in err


def test_a_missing_store_and_an_absent_server_are_reported(tmp_path: Path) -> None:
    assert run("list", tmp_path / "none")[0] == 1
    code, _, err = run("list", tmp_path, "--url", "http://127.0.0.1:1")
    assert code == 1
    assert "does not answer which models it serves" in err
