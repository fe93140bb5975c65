"""What messages and docs advise to install are packages that this project has tested."""

import re
import tomllib
from pathlib import Path

from deploy.pins import read_pins
from model_store.tools.weights.initial import IMAGENET_PACKAGES

ROOT = Path(__file__).parents[3]
FOLDERS = ("service", "handlers", "model_store", "deploy", "loadtest", "client", "examples")
SUFFIXES = {".py", ".md", ".js", ".html", ".ipynb"}
FILES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
FILES += [
    file
    for folder in FOLDERS
    for file in (ROOT / folder).rglob("*")
    if file.suffix in SUFFIXES and "build" not in file.relative_to(ROOT).parts
]
CLIENT = tomllib.loads((ROOT / "client/pyproject.toml").read_text())["project"]

# options, then a name and no path; what is in braces comes from code with a test of its own
ADVISED = re.compile(
    r"pip install (?:(?:--find-links|-r) \S+[ \n]|-\S+ )*+[\"'`]*([A-Za-z][\w.-]*+)(?![/+])"
)


def test_a_package_that_is_advised_is_one_that_is_pinned() -> None:
    """Anyone could register another name, that of this project included."""
    known = {pin.name for pin in read_pins(ROOT)} | {*IMAGENET_PACKAGES.values()}
    known |= set(CLIENT["optional-dependencies"])  # make test-client installs them
    advised = {
        (name.lower(), str(file.relative_to(ROOT)))
        for file in FILES
        for name in ADVISED.findall(file.read_text())
    }
    assert {(name, file) for name, file in advised if name not in known} == set()


def test_every_page_and_message_is_read() -> None:
    read = {str(file.relative_to(ROOT)) for file in FILES}
    assert {"README.md", "client/README.md", "examples/README.md", "docs/cli.md"} <= read
    assert {"service/page/static/snippets.js", "client/fcnserve_client/polygons.py"} <= read


def test_the_pattern_finds_a_name_however_it_is_written_and_no_path() -> None:
    assert ADVISED.findall("pip install 'dist/fcnserve-0.1.0-py3-none-any.whl[worker]'") == []
    assert ADVISED.findall("pip install './client[shapely]'") == []
    assert ADVISED.findall("pip install 'git+https://HOST/fcnserve.git#subdirectory=client'") == []
    for text in (
        "pip install 'fcnserve[worker]'",
        "pip install -U fcnserve==1",
        "pip install fcnserve",
    ):
        assert ADVISED.findall(text) == ["fcnserve"]


def test_no_message_advises_to_run_a_checkpoints_code() -> None:
    wrong = re.compile(
        r"weights_only[`= ]*(set to )?`?False|allow_pickle=True|verify=False|--insecure|curl.* -k "
    )
    assert [file for file in FILES if wrong.search(file.read_text())] == []
