"""The examples of the client's README work as written, where its wheel alone is installed."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.server import ASTRONAUT, CAT, ROOT, Server, clean_environment

README = (ROOT / "client/README.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
HEADINGS = ["first", "many photos", "datasets", "asyncio", "errors"]
WITH_EXTRAS = """
import sys

import shapely
import supervision
from fcnserve_client import Client

with Client(sys.argv[1]) as client:
    seg = client.segment("cat.jpg", min_area=50)
polygons = [polygon.to_shapely() for polygon in seg.polygons()]
assert polygons and all(polygon.is_valid for polygon in polygons)
assert [polygon.area for polygon in polygons] == [polygon.area for polygon in seg.polygons()]
assert [shapely.geometry.shape(each) for each in seg.polygons()] == polygons
found = seg.to_supervision()
assert list(found.data["class_name"]) == [name for name in seg.classes if name != "background"]
assert (found.mask[0] == seg.mask(int(found.class_id[0]))).all()
assert 0.3 < found.confidence[0] <= 1
supervision.MaskAnnotator().annotate(seg.overlay(), found)
none = seg.to_supervision([])
assert len(none) == 0
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the photos that the examples name."""
    (tmp_path / "photos").mkdir()
    for path in (tmp_path / "cat.jpg", tmp_path / "photos/1.jpg"):
        shutil.copy(CAT, path)
    shutil.copy(ASTRONAUT, tmp_path / "photos/2.jpg")
    return tmp_path


def run(python: Path, folder: Path, code: str, *arguments: str) -> str:
    """Run a program, in whose environment warnings are errors of the package alone."""
    script = folder / "program.py"
    script.write_text(code)
    command = [str(python), "-W", "error:::fcnserve_client", str(script), *arguments]
    ran = subprocess.run(
        command, cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize("number", range(len(HEADINGS)), ids=HEADINGS)
def test_an_example_of_the_readme_runs(
    python: Path, folder: Path, server: Server, number: int
) -> None:
    assert len(EXAMPLES) == len(HEADINGS)
    code = EXAMPLES[number].replace("http://127.0.0.1:8000", server.url)
    printed = run(python, folder, code)
    match HEADINGS[number]:
        case "first":
            assert printed.startswith("<Segmentation ")
            assert (folder / "overlay.png").exists()
        case "many photos":
            assert {path.name for path in (folder / "photos").glob("*.png")} == {"1.png", "2.png"}
        case "datasets":
            read = json.loads((folder / "dataset/annotations.json").read_text())
            assert [each["file_name"] for each in read["images"]] == ["1.jpg", "2.jpg"]
        case "asyncio":
            assert printed.count("cat.jpg <Segmentation ") == 2
        case _:
            assert printed


def test_shapely_and_supervision_take_the_results(
    python: Path, folder: Path, server: Server
) -> None:
    run(python, folder, WITH_EXTRAS, server.url)


def test_the_package_brings_nothing_of_the_server(python: Path) -> None:
    listed = subprocess.check_output([str(python), "-m", "pip", "list", "--format=freeze"])
    installed = {line.partition("==")[0] for line in listed.decode().lower().splitlines()}
    assert not installed & {"fcnserve", "torch", "aiohttp", "fastapi", "uvicorn", "opencv-python"}
