"""Stages are processes: each has its time, its items are written at once, and nothing is left."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from loadtest.gpu_check.catalogue import STAGES, TOTAL_S
from loadtest.gpu_check.results import Check, Fact, Results, to_line
from loadtest.gpu_check.runner import environment, exit_status, run_stage, run_stages
from tests.support.polling import wait_until

NAME, OTHER = "rates", "variants"  # whose needs are always there
FOUND = Fact("found", 1)
# one in its group, one in a session of its own, and one whose parent has ended
LEAVES_SUBPROCESSES = """
import subprocess, sys, time
print(sys.argv[1], flush=True)
orphans_parent = "import subprocess; print(subprocess.Popen(['sleep', '600'], stdout=2).pid)"
command = [sys.executable, "-c", orphans_parent]
orphan = subprocess.run(command, stdout=subprocess.PIPE, process_group=0).stdout.decode()
some = [subprocess.Popen(["sleep", "600"], start_new_session=own) for own in (False, True)]
open(sys.argv[2], "w").write(" ".join([orphan, *(str(each.pid) for each in some)]))
time.sleep(600)
"""
WAITS_FOR_A_FILE = """
import pathlib, sys, time
print(sys.argv[1], flush=True)
while not pathlib.Path(sys.argv[2]).exists():
    time.sleep(0.02)
"""


def python(script: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", script, *map(str, arguments)]


def one_stage(folder: Path) -> Results:
    return Results(folder, [NAME], "command")


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_stage_that_hangs_is_killed_with_all_its_subprocesses(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    for limit_s in (1, 4, 16, 64):  # until it has come so far
        results = one_stage(tmp_path / "out")
        command = python(LEAVES_SUBPROCESSES, to_line(FOUND).strip(), pids)
        run_stage(NAME, limit_s, results, command, has_gpu=False)
        if pids.exists() and pids.read_text():
            break
    assert results.stages[NAME].state == f"killed after {limit_s} s"
    assert results.stages[NAME].items == [FOUND]
    left = [int(pid) for pid in pids.read_text().split()]
    assert len(left) == 3
    wait_until(lambda: not any(map(is_running, left)))


def test_an_item_is_in_the_file_before_its_stage_ends(tmp_path: Path) -> None:
    results, go_on = one_stage(tmp_path), tmp_path / "go-on"

    def let_it_end() -> None:
        wait_until(lambda: "found" in (tmp_path / "gpu-check.json").read_text())
        go_on.touch()

    thread = Thread(target=let_it_end)
    thread.start()
    command = python(WAITS_FOR_A_FILE, to_line(FOUND).strip(), go_on)
    run_stage(NAME, 120, results, command, has_gpu=False)
    thread.join()
    assert results.stages[NAME].state == "ended"


def test_after_a_stage_that_fails_the_next_one_runs(tmp_path: Path) -> None:
    scripts = {
        NAME: "print('no item'); import sys; sys.exit('the reason')",
        OTHER: f"print({to_line(FOUND)!r})",
    }
    results = Results(tmp_path, [NAME, OTHER], "command")
    run_stages(results, lambda name: python(scripts[name]))
    first, second = results.stages.values()
    assert (first.state, first.items) == ("failed with status 1", [])
    assert first.log_end == "the reason"
    assert (second.state, second.items, second.log_end) == ("ended", [FOUND], "")
    assert exit_status(results) == 1
    assert "the reason" in (tmp_path / "gpu-check.md").read_text()
    assert "== variants" in results.log.read_text()


def test_a_stage_that_a_signal_ends_says_which(tmp_path: Path) -> None:
    results = one_stage(tmp_path)
    script = "import os; os.kill(os.getpid(), 11)"
    run_stage(NAME, 60, results, python(script), has_gpu=False)
    assert results.stages[NAME].state == "ended by signal 11"


@pytest.mark.parametrize(
    ("item", "status"),
    [
        (Check("alike", True, "all"), 0),
        (Check("alike", False, "one differs"), 1),
        (Check("fast", False, "slow", of_speed=True), 0),
    ],
    ids=["holds", "answers-differ", "slow"],
)
def test_the_exit_status_says_whether_answers_are_right(
    tmp_path: Path, item: Check, status: int
) -> None:
    results = one_stage(tmp_path)
    run_stages(results, lambda _name: python(f"print({to_line(item)!r})"))
    assert exit_status(results) == status


def test_a_stage_without_its_packages_names_them_and_the_next_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = ("torch", "no_such_module", "PIL")
    monkeypatch.setitem(STAGES, NAME, replace(STAGES[NAME], needs=needs))
    results = Results(tmp_path, [NAME, OTHER], "command")
    run_stages(results, lambda _name: python(""))
    states = [result.state for result in results.stages.values()]
    assert states == ["not run: this Python has no no_such_module", "ended"]
    assert exit_status(results) == 1


def test_no_stage_starts_after_the_time_of_all(tmp_path: Path) -> None:
    def never(_name: str) -> Sequence[str]:
        raise AssertionError

    results = one_stage(tmp_path)
    run_stages(results, never, total_s=0)
    assert results.stages[NAME].state == "not run: the time of all stages is over"


def test_all_stages_together_take_less_than_eight_minutes_even_if_each_hangs() -> None:
    assert sum(stage.limit_s for stage in STAGES.values()) <= TOTAL_S < 8 * 60


def test_stages_see_no_setting_of_the_service_and_a_dry_run_no_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FCNSERVE_WORKERS", "7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with_gpu, without = environment("mark", has_gpu=True), environment("mark", has_gpu=False)
    assert with_gpu["CUDA_VISIBLE_DEVICES"] == "3"
    assert without["CUDA_VISIBLE_DEVICES"] == ""
    assert not {"FCNSERVE_WORKERS"} & (with_gpu.keys() | without.keys())
    assert with_gpu["PATH"] == os.environ["PATH"]


def test_both_files_have_the_same_items(tmp_path: Path) -> None:
    results = one_stage(tmp_path)
    run_stages(results, lambda _name: python(f"print({to_line(FOUND)!r})"))
    (stage,) = json.loads((tmp_path / "gpu-check.json").read_text())["stages"].values()
    assert stage["items"] == [{"kind": "Fact", "name": "found", "value": 1}]
    assert "- found: 1" in (tmp_path / "gpu-check.md").read_text()
