"""A model folder for the tests of several rooms."""

from pathlib import Path

import pytest

from model_store.tools.create.create import create_model


@pytest.fixture(scope="session")
def pets_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "pets"
    create_model(folder, ("background", "cat", "dog"))
    return folder


@pytest.fixture
def pets(pets_model: Path, tmp_path: Path) -> Path:
    """Copy a folder of three classes, for a test to change."""
    folder = tmp_path / "pets"
    folder.mkdir()
    for file in pets_model.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder
