"""Git ignores every file that the commands in the docs and the benchmarks write."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from loadtest.capacity.locust_run import RAW
from loadtest.command_line import RESULTS
from loadtest.traffic.album import ALBUM

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# options and commands whose next word is a file or folder to write
WRITING_OPTIONS = {"-o", "--out", "--output-dir", "--to", "--run"}
WRITING_COMMANDS = {"new", "train", "toy"}


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
        if word in WRITING_OPTIONS or (word in WRITING_COMMANDS and "model" in words):
            yield following.rstrip("/")


WRITTEN = sorted({path for page in PAGES for words in commands(page) for path in outputs(words)})


def is_ignored(path: Path | str) -> bool:
    """Whether git ignores the path, as a file or as a folder."""
    command = ["git", "check-ignore", f"{path}", f"{path}/"]
    status = subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode
    if status not in {0, 1}:
        pytest.skip("not a git clone")
    return status == 0


@pytest.mark.parametrize("path", WRITTEN)
def test_git_ignores_what_a_command_of_the_docs_writes(path: str) -> None:
    assert is_ignored(path)


def test_the_outputs_of_the_commands_are_found() -> None:
    assert {"cat.png", "overlays", "model_store/pets", "evaluation"} <= set(WRITTEN)


@pytest.mark.parametrize("path", [RESULTS, RAW, ALBUM], ids=lambda path: path.name)
def test_git_ignores_what_a_benchmark_writes(path: Path) -> None:
    assert is_ignored(path)


def test_no_benchmark_writes_recorded_results_by_default() -> None:
    """Only a run with `--out` goes to loadtest/results."""
    writers = [
        file.name
        for file in (ROOT / "loadtest").rglob("*.py")
        if re.search(r"loadtest.{1,5}results", re.sub(r"#.*", "", file.read_text()))
    ]
    assert writers == []
