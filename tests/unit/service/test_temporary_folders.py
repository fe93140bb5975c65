"""Temporary folders are removed at the end or at the next start; folders of others never."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.temporary_folders import LOCK, sweep, temporary_folder

HOLDER = """
import subprocess, sys
from pathlib import Path
from service.temporary_folders import temporary_folder
with temporary_folder("ours-", Path(sys.argv[1])) as folder:
    if sys.argv[2] == "child":
        child = subprocess.Popen(["sleep", "600"], pass_fds=[folder.lock_fd])
        print(folder.path, child.pid, flush=True)
    else:
        print(folder.path, 0, flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(parent: Path, *, child: bool) -> Iterator[tuple[Path, int, "subprocess.Popen[str]"]]:
    """A process that uses a folder, with or without a subprocess."""
    command = [sys.executable, "-c", HOLDER, str(parent), "child" if child else "alone"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        path, pid = process.stdout.readline().split()
        yield Path(path), int(pid), process
        process.kill()


def test_a_folder_exists_while_it_is_in_use_and_is_removed_afterwards(tmp_path: Path) -> None:
    with temporary_folder("ours-", tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder.path]
        assert folder.path.name.startswith("ours-")
        (folder.path / "something").mkdir()
        sweep("ours-", tmp_path)
        assert folder.path.exists()
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_killed_process_is_removed_at_the_next_start(tmp_path: Path) -> None:
    with holder(tmp_path, child=False) as (path, _, process):
        sweep("ours-", tmp_path)
        assert path.exists()
        process.kill()
        process.wait()
        assert path.exists()
        with temporary_folder("ours-", tmp_path) as folder:
            assert list(tmp_path.iterdir()) == [folder.path]


def test_a_folder_stays_as_long_as_a_subprocess_uses_it(tmp_path: Path) -> None:
    with holder(tmp_path, child=True) as (path, child, process):
        process.kill()
        process.wait()
        sweep("ours-", tmp_path)
        assert path.exists()
        os.kill(child, signal.SIGKILL)
        with subprocess.Popen(["tail", f"--pid={child}", "-f", "/dev/null"]):  # until it is gone
            pass
        sweep("ours-", tmp_path)
        assert not path.exists()


@pytest.mark.parametrize("kind", ["no-lock", "link", "file", "another-name"])
def test_a_path_that_may_belong_to_another_program_stays(tmp_path: Path, kind: str) -> None:
    parent, elsewhere = tmp_path / "tmp", tmp_path / "elsewhere"
    for folder in (parent, elsewhere):
        folder.mkdir()
    (elsewhere / LOCK).touch()
    path = parent / "ours-1"
    if kind == "no-lock":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(elsewhere)
    elif kind == "file":
        path.touch()
    else:
        path = parent / "theirs-1"
        path.mkdir()
        (path / LOCK).touch()
    sweep("ours-", parent)
    assert path.exists()
    assert (elsewhere / LOCK).exists()
