"""Runs the stages of a check one after the other, each as a process with a time limit.

A stage that does not end in time is killed with all its subprocesses, and the next one starts.
Called by `loadtest.gpu_check.__main__`.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import IO

from loadtest.gpu_check.catalogue import STAGES, TOTAL_S, Stage
from loadtest.gpu_check.results import SHOWN_LOG_LINES, Results, from_line

ROOT = Path(__file__).parents[2]
# in the environment of each process that a stage starts, whatever its parent
MARK = "GPU_CHECK_STAGE"
# a small pass with a team of threads takes ten times as long on a busy machine
WITHOUT_GPU = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "FCNSERVE_THREADS": "1"}
KILLED_S = 2.0  # for a killed stage's end, and for the lines that it has written

CommandOf = Callable[[str], Sequence[str]]


def run_stages(
    results: Results, command_of: CommandOf, *, has_gpu: bool = True, total_s: float = TOTAL_S
) -> None:
    """Run the stages that `results` has, by name; writes each item as soon as it is known."""
    deadline = time.monotonic() + total_s
    for name, result in results.stages.items():
        stage = STAGES[name]
        limit_s = min(stage.limit_s, deadline - time.monotonic())
        if missing := stage.missing():
            result.state = f"not run: this Python has no {', '.join(missing)}"
        elif limit_s <= 0:
            result.state = "not run: the time of all stages is over"
        else:
            print(f"{name}: at most {limit_s:.0f} s ...", flush=True)
            run_stage(name, limit_s, results, command_of(name), has_gpu=has_gpu)
        results.write()
        print(f"{name}: {result.state}", flush=True)


def run_stage(
    name: str, limit_s: float, results: Results, command: Sequence[str], *, has_gpu: bool
) -> None:
    """Run one stage, and kill what is left of it."""
    result = results.stages[name]
    result.state = "running"
    results.write()
    mark = f"{name}-{os.getpid()}-{time.monotonic_ns()}"
    started = time.monotonic()
    with results.log.open("ab") as log:
        log.write(f"== {name}\n".encode())
        log.flush()
        begin = log.tell()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(mark, has_gpu=has_gpu),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            process_group=0,
        )
        reader = Thread(target=read_items, args=(process.stdout, name, results), daemon=True)
        try:
            reader.start()
            result.state = ended(process.wait(limit_s))
        except subprocess.TimeoutExpired:
            result.state = f"killed after {limit_s:.0f} s"
        finally:
            kill(process, mark)
            reader.join(KILLED_S)
    result.seconds = time.monotonic() - started
    if result.state != "ended":
        result.log_end = last_lines(results.log, begin)


def ended(status: int) -> str:
    if status < 0:
        return f"ended by signal {-status}"
    return "ended" if status == 0 else f"failed with status {status}"


def environment(mark: str, *, has_gpu: bool) -> dict[str, str]:
    """Return this process's environment without settings of the service, and with a mark."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FCNSERVE_")}
    return kept | {MARK: mark} | ({} if has_gpu else WITHOUT_GPU)


def read_items(lines: IO[str], name: str, results: Results) -> None:
    """Take a stage's items as they come, until its last process closes the pipe."""
    with lines:
        for line in lines:
            if item := from_line(line):
                results.add(name, item)


def kill(process: "subprocess.Popen[str]", mark: str) -> None:
    """Kill a stage's process group, and the processes that have left it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for pid in marked(mark):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):  # one in the driver ends when that returns
        process.wait(KILLED_S)


def marked(mark: str) -> Iterator[int]:
    """Find the processes that have a mark in their environment (proc_pid_environ(5))."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    yield int(folder.name)


def last_lines(log: Path, begin: int) -> str:
    with log.open("rb") as file:
        file.seek(begin)
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-SHOWN_LOG_LINES:])


def exit_status(results: Results) -> int:
    """Return 0 where each stage ended by itself and each check of answers holds."""
    return int(not all(result.is_good for result in results.stages.values()))


def stage_command(name: str, *, dry: bool) -> list[str]:
    arguments = ["--stage", name, *(["--dry-run"] if dry else [])]
    return [sys.executable, "-m", "loadtest.gpu_check", *arguments]


def import_name(stage: Stage) -> str:
    return f"{__package__}.{stage.module}"
