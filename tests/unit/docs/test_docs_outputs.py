"""What the commands of the docs and of make write is nothing that git would want to add."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from loadtest.benchmark.run import RESULTS
from loadtest.capacity.locust_run import RAW
from loadtest.traffic.album import ALBUM

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# options and commands whose next word is what is written
WRITING = {"-o", "--out", "--output-dir", "--to", "--run"}
MAKING = {"new", "train", "toy"}


def commands(page: Path) -> Iterator[list[str]]:
    """The lines of the page's code blocks that run curl or fcnserve."""
    for block in re.findall(r"^```(?:sh)?\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            words = (
                shlex.split(line, comments=True) if re.match(r"(\S*fcnserve|curl) ", line) else []
            )
            if words:
                yield words


def outputs(words: list[str]) -> Iterator[str]:
    """The files and folders that a command writes to."""
    for word, following in pairwise(words):
        if word in WRITING or (word in MAKING and "model" in words):
            yield following.rstrip("/")


WRITTEN = sorted({path for page in PAGES for words in commands(page) for path in outputs(words)})


def is_ignored(path: Path | str) -> bool:
    """Whether git leaves it alone, be it a file or a folder."""
    command = ["git", "check-ignore", f"{path}", f"{path}/"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode
    if answer not in {0, 1}:
        pytest.skip("this is no clone")
    return answer == 0


@pytest.mark.parametrize("path", WRITTEN)
def test_what_a_command_of_the_docs_writes_is_not_seen_by_git(path: str) -> None:
    assert is_ignored(path)


def test_the_docs_write_something() -> None:
    assert {"cat.png", "overlays", "model_store/pets", "evaluation"} <= set(WRITTEN)


@pytest.mark.parametrize("path", [RESULTS, RAW, ALBUM], ids=lambda path: path.name)
def test_what_a_benchmark_writes_is_not_seen_by_git(path: Path) -> None:
    assert is_ignored(path)


def test_every_benchmark_writes_where_git_does_not_look_unless_told() -> None:
    """Only a run that is to be recorded goes to loadtest/results."""
    named = [
        file.name
        for file in [*(ROOT / "loadtest").glob("*.py"), *(ROOT / "loadtest/peers").glob("*.py")]
        if re.search(r"loadtest.{1,5}results", re.sub(r"#.*", "", file.read_text()))
    ]
    assert named == []
