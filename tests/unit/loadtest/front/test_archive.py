"""The null archive is the worker's archive but for one module."""

from pathlib import Path
from zipfile import ZipFile

import numpy as np

from loadtest.front.archive import ADDED, REPLACED, REPLACEMENT, STAMPED_ENTRY, STAMPS, pack_null
from loadtest.front.data import NAME, write_folder
from model_store.tools.archive.package import ENTRY, package


def contents(archive: Path) -> dict[str, bytes]:
    with ZipFile(archive) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def test_one_module_of_the_worker_is_replaced_and_the_benchmarks_are_added(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_folder(folder, {(2, 3): np.zeros((2, 3), np.uint8)})
    usual = contents(package(folder, tmp_path))
    assert pack_null(folder, tmp_path) == NAME
    null = contents(tmp_path / f"{NAME}.mar")
    assert null.keys() - usual.keys() == set(ADDED)
    assert {name for name, data in usual.items() if null[name] != data} == {REPLACED}
    assert null[REPLACED] == REPLACEMENT


def test_stamps_are_in_the_archive_only_where_they_are_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_folder(folder, {(2, 3): np.zeros((2, 3), np.uint8)})
    pack_null(folder, tmp_path)
    without = contents(tmp_path / f"{NAME}.mar")
    pack_null(folder, tmp_path, with_stamps=True)
    stamped = contents(tmp_path / f"{NAME}.mar")
    assert stamped.keys() - without.keys() == set(STAMPS)
    assert stamped[ENTRY] == without[ENTRY] + STAMPED_ENTRY
