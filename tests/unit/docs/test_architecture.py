"""docs/architecture.md names files that exist, and its tables equal the import contracts."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/architecture.md").read_text()
FOLDERS = ("service", "handlers", "client", "model_store", "deploy", "loadtest", "tests")
PATHS = sorted(set(re.findall(rf"\b((?:{'|'.join(FOLDERS)})/[\w./-]*\w)", PAGE)))
LINTER = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS: dict[str, dict[str, Any]] = {each["id"]: each for each in LINTER["contracts"]}
LAYERED = [key for key, contract in CONTRACTS.items() if contract["type"] == "layers"]
MAX_FILES = 15  # "about a dozen", and __init__.py


def rows(heading: str) -> Iterator[list[str]]:
    """Cells of the table under a heading, row by row."""
    section = PAGE.split(f"\n### {heading}\n")[1].split("\n#")[0]
    for line in [line for line in section.splitlines() if line.startswith("|")][2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def names(cell: str) -> set[str]:
    return set(re.findall(r"`([\w./]+?)/?`", cell))


def rooms(folder: Path) -> set[str]:
    """Packages and modules directly in a folder."""
    return {
        path.stem
        for path in folder.iterdir()
        if path.stem != "__init__" and (path.suffix == ".py" or (path / "__init__.py").exists())
    }


@pytest.mark.parametrize("path", PATHS)
def test_each_path_of_the_page_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_page_names_a_file_for_each_step() -> None:
    assert len(PATHS) >= 30


@pytest.mark.parametrize("key", LAYERED)
def test_the_table_of_rooms_equals_the_contract(key: str) -> None:
    layers = [set(re.split(r" [|:] ", layer)) for layer in CONTRACTS[key]["layers"]]
    heading = "Top-level folders" if key == "folders" else f"`{key.replace('.', '/')}/`"
    assert [{name.removesuffix(".py") for name in names(row[0])} for row in rows(heading)] == layers


@pytest.mark.parametrize("key", [key for key in LAYERED if key != "folders"])
def test_the_contract_names_every_room(key: str) -> None:
    layers = {name for layer in CONTRACTS[key]["layers"] for name in re.split(r" [|:] ", layer)}
    assert rooms(ROOT / key.replace(".", "/")) == layers


def test_the_page_lists_every_other_contract() -> None:
    other = [contract["name"] for key, contract in CONTRACTS.items() if key not in LAYERED]
    assert re.findall(r"^- (.*)\.$", PAGE.split("### Other rules")[1], re.MULTILINE) == other


def test_the_service_may_import_only_the_shared_room_of_handlers() -> None:
    forbidden = {
        name.removeprefix("handlers.") for name in CONTRACTS["shared"]["forbidden_modules"]
    }
    assert forbidden == rooms(ROOT / "handlers") - {"shared"}


def test_no_contract_has_exceptions() -> None:
    assert [key for key, contract in CONTRACTS.items() if "ignore_imports" in contract] == []


@pytest.mark.parametrize("folder", [name for name in FOLDERS if name != "tests"])
def test_a_room_holds_about_a_dozen_files(folder: str) -> None:
    packages = [path.parent for path in (ROOT / folder).rglob("__init__.py")]
    sizes = {str(path.relative_to(ROOT)): len(list(path.glob("*.py"))) for path in packages}
    assert {room: size for room, size in sizes.items() if size > MAX_FILES} == {}


def test_unit_tests_mirror_the_tree() -> None:
    """Except the tests of the whole gateway; those of the model tools omit `tools`."""
    unit = ROOT / "tests/unit"
    folders = {str(path.parent.relative_to(unit)) for path in unit.rglob("test_*.py")}
    sources = {
        name: re.sub("^model_store/(?!tools)", "model_store/tools/", name) for name in folders
    }
    missing = {name for name, source in sources.items() if not (ROOT / source).is_dir()}
    assert missing <= {"service/gateway"}
