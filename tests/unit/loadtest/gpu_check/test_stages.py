"""Each stage runs on the CPU, small, in this process; its checks hold there."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from handlers.runtime.warm_up.run import LONGEST_S
from loadtest.gpu_check import labels, marked_tests
from loadtest.gpu_check.catalogue import DRY, STAGES
from loadtest.gpu_check.kernels import busy
from loadtest.gpu_check.results import Check, Fact, Item, Row
from loadtest.gpu_check.runner import import_name

SMALL = replace(DRY, processes=(1,))
TABLES = {
    "rates": {"Copies", "Matrix products"},
    "labels": {"Labels that agree"},
    "invariance": {"Passes beside single ones"},
    "replays": {"Passes in fp32", "Variants of fcn8s-lite2"},
    "variants": {"Layers"},
    "kernels": {"Kernels"},
    "pipeline": {"Masks a second"},
    "workers": {"Masks a second"},
}


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what stages set in their own process."""
    monkeypatch.setitem(LONGEST_S, "cpu", LONGEST_S["cpu"])
    monkeypatch.setenv("FCNSERVE_THREADS", "1")
    logger = logging.getLogger("handlers")
    monkeypatch.setattr(logger, "handlers", [])
    propagate = logger.propagate
    yield
    logger.propagate = propagate


def items_of(name: str) -> list[Item]:
    items: list[Item] = list(import_module(import_name(STAGES[name])).run(SMALL))
    return items


@pytest.mark.parametrize("name", TABLES)
def test_a_stage_fills_its_tables_and_its_checks_hold(name: str) -> None:
    items = items_of(name)
    assert {item.table for item in items if isinstance(item, Row)} == TABLES[name]
    assert [item for item in items if isinstance(item, Check) and not item.holds] == []


def test_every_stage_is_run_here() -> None:
    assert {*TABLES, "tests"} == set(STAGES)


def test_the_expected_labels_are_of_the_models_weights_and_the_sample_photos() -> None:
    expected, photos = labels.read_expected(), labels.sample_photos()
    assert labels.weights_digest() in expected, "run python -m loadtest.gpu_check.labels"
    assert {name: expected[name].shape for name in photos} == labels.CROPS
    assert labels.same_pixels(photos, expected) == (True, "all")
    assert len(np.unique(expected["cat"])) > 1


def test_other_pixels_are_noticed() -> None:
    photos = labels.sample_photos()
    photos["cat"] = photos["cat"] ^ np.uint8(1)
    assert labels.same_pixels(photos, labels.read_expected()) == (False, "others: cat")


def test_marked_tests_are_found_and_run_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert [file.name for file in marked_tests.files()].count("test_network_cuda.py") == 1
    file = tmp_path / "test_one.py"
    file.write_text(
        "import pytest\n"
        "@pytest.mark.gpu\ndef test_passes(): pass\n"
        "@pytest.mark.gpu\ndef test_fails(): assert 0\n"
        "@pytest.mark.gpu\n@pytest.mark.skip\ndef test_skipped(): pass\n"
        "def test_without_mark(): assert 0\n"
    )
    monkeypatch.setattr(marked_tests, "files", lambda: [file])
    items = list(marked_tests.run(SMALL))
    rows = [item.cells for item in items if isinstance(item, Row)]
    assert [(row["test"], row["outcome"]) for row in rows] == [
        ("test_passes", "passed"),
        ("test_fails", "failed"),
    ]
    assert Fact("skipped", 1) in items
    assert Check("all tests marked gpu pass", False, "1 passed, 1 failed") in items


def test_a_run_on_a_gpu_in_which_all_tests_were_skipped_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "test_one.py"
    file.write_text("import pytest\n@pytest.mark.gpu\n@pytest.mark.skip\ndef test_it(): pass\n")
    monkeypatch.setattr(marked_tests, "files", lambda: [file])
    *_, check = marked_tests.run(replace(SMALL, device="cuda"))
    assert isinstance(check, Check)
    assert not check.holds


def test_time_in_which_kernels_overlap_counts_once() -> None:
    assert busy([(0, 10), (2, 5), (8, 12), (20, 21)]) == 13
