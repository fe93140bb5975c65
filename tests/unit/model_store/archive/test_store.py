"""The model store is used unchanged, but for the one inside an installed wheel."""

from pathlib import Path

import pytest

from model_store.tools.archive.package import package as pack
from model_store.tools.archive.store import writable_store


def test_the_stores_of_a_checkout_and_of_the_settings_are_used_unchanged(tmp_path: Path) -> None:
    assert writable_store(tmp_path / "model_store", tmp_path) == tmp_path / "model_store"
    (tmp_path / "__init__.py").touch()
    assert writable_store(tmp_path / "elsewhere", tmp_path) == tmp_path / "elsewhere"


def test_models_inside_an_installed_wheel_have_their_archives_in_the_users_cache(
    tmp_path: Path, pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    installed = tmp_path / "site-packages" / "fcnserve"
    installed.mkdir(parents=True)
    (installed / "__init__.py").touch()
    inside = installed / "model_store"
    inside.mkdir()
    pets.rename(inside / "pets")
    for _ in range(2):
        cache = writable_store(inside, installed)
        assert cache.is_relative_to(tmp_path / "cache" / "fcnserve")
        assert pack(cache / "pets", cache) == cache / "pets.mar"
    assert {path.name for path in inside.rglob("*.mar")} == set()
    moved = installed.rename(tmp_path / "moved")  # another environment with the same version
    assert writable_store(moved / "model_store", moved) == cache
    assert (cache / "pets").resolve() == moved / "model_store" / "pets"
