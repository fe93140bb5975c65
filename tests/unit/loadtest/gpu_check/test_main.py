"""The command runs the stages that it is asked for, and leaves few files with plain names."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.gpu_check.__main__ import main
from loadtest.gpu_check.catalogue import PACKAGES, STAGES, TORCH
from tests.support.pages import rows
from tests.support.polling import wait_until

ROOT = Path(__file__).parents[4]
MOST_FILES = 8
# a Python without packages: torch and all others are missing
BARE = [sys.executable, "-I", "-S", "-c"]
RUN_BARE = """
import runpy, sys
sys.path.insert(0, sys.argv.pop(1))
runpy.run_module("loadtest.gpu_check", run_name="__main__", alter_sys=True)
"""


def test_a_stage_runs_on_the_cpu_and_its_figures_are_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["--dry-run", "--only", "rates", "--out", str(out)]) == 0
    (stage,) = json.loads((out / "gpu-check.json").read_text())["stages"].items()
    assert stage[0] == "rates"
    assert stage[1]["state"] == "ended"
    assert {item["table"] for item in stage[1]["items"] if item["kind"] == "Row"} == {
        "Copies",
        "Matrix products",
    }
    files = [path.name for path in out.iterdir()]
    assert len(files) <= MOST_FILES
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in files)
    assert all(path.is_file() for path in out.iterdir())


def test_python_without_packages_gets_a_page_that_names_them(tmp_path: Path) -> None:
    command = [*BARE, RUN_BARE, str(ROOT), "--dry-run", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    page = (tmp_path / "gpu-check.md").read_text()
    assert "not run: this Python has no torch, numpy" in page
    assert "has no torch, numpy, pydantic, pyyaml, safetensors, pillow, simplejpeg, isal" in page


def test_a_stage_ends_with_the_command_that_is_stopped(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "loadtest.gpu_check", "--dry-run", "--out", str(tmp_path)]
    results = tmp_path / "gpu-check.json"
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: results.exists() and '"running"' in results.read_text(), 60)
        wait_until(lambda: len(children(process.pid)) == 1, 60)
        (stage,) = children(process.pid)
        process.terminate()
    assert process.returncode == 128 + signal.SIGTERM
    wait_until(lambda: not Path(f"/proc/{stage}/exe").exists(), 60)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_an_unknown_stage_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "nonsense"])
    assert "invalid choice: 'nonsense'" in capsys.readouterr().err


def test_the_table_of_stages_equals_the_code() -> None:
    written = [(row[0].strip("`"), row[1], row[2]) for row in rows("stage")]
    assert written == [
        (
            name,
            f"{stage.limit_s:.0f} s",
            ", ".join(PACKAGES.get(each, each) for each in stage.needs if each not in TORCH),
        )
        for name, stage in STAGES.items()
    ]
