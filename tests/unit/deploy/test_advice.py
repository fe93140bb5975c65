"""What messages and docs advise to install are packages that this project has tested."""

import re
from pathlib import Path

from deploy.pins import read_pins
from model_store.tools.weights.initial import IMAGENET_PACKAGES

ROOT = Path(__file__).parents[3]
FOLDERS = ("service", "handlers", "model_store", "deploy", "loadtest")
FILES = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")]
FILES += [
    file for pattern in ("*.md", "docs/*.md", "loadtest/**/*.md") for file in ROOT.glob(pattern)
]

# options, then a name and no path; what is in braces comes from code with a test of its own
ADVISED = re.compile(
    r"pip install (?:(?:--find-links|-r) \S+[ \n]|-\S+ )*+[\"'`]*([A-Za-z][\w.-]*+)(?!/)"
)


def test_a_package_that_is_advised_is_one_that_is_pinned() -> None:
    """Anyone could register another name, that of this project included."""
    known = {pin.name for pin in read_pins(ROOT)} | {*IMAGENET_PACKAGES.values()}
    advised = {
        (name.lower(), str(file.relative_to(ROOT)))
        for file in FILES
        for name in ADVISED.findall(file.read_text())
    }
    assert {(name, file) for name, file in advised if name not in known} == set()


def test_the_pattern_finds_a_name_however_it_is_written_and_no_path() -> None:
    assert ADVISED.findall("pip install 'dist/fcnserve-0.1.0-py3-none-any.whl[worker]'") == []
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
