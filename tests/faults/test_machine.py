"""Faults of the machine: a full disk for logs, and a wall clock that is stepped."""

import shutil
import struct
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.scenario import Scenario, StartService

HOUR_S, MINUTE_S = 3600, 60
CLOCK_SOURCE = Path(__file__).with_name("clock.c")
FULL = Path("/dev/full")  # each write fails with "no space left on device"
STEPPED_S = 8.0  # longer than every window and interval that depends on a clock


def test_the_disk_is_full_for_logs(start: StartService, scenario: Scenario) -> None:
    """Gateway and worker log at every level, and a worker is killed, which writes more lines."""

    def fault() -> None:
        victim = service.workers()[0]
        service.kill(victim)
        service.wait_until(lambda: victim not in service.workers())

    service = start(workers=2, log=FULL, FCNSERVE_LOG_LEVEL="debug")
    counts = scenario(service, "no room for logs, and a Python worker killed", fault)
    assert counts.correct_percent >= 99
    assert [each.starts for each in service.subservices.values()] == [1, 1]


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S], ids=["ahead", "back"])
def test_the_wall_clock_is_stepped(
    start: StartService, scenario: Scenario, tmp_path: Path, step_s: int
) -> None:
    """For gateway, supervisor, Java and Python workers; see clock.c."""

    def fault() -> None:
        set_clock(clock, step_s)
        service.wait_until(lambda: abs(service.wall_clock_s() - time.time() - step_s) < MINUTE_S)
        time.sleep(STEPPED_S)  # how long the clock differs before the checks

    clock, library = tmp_path / "clock", tmp_path / "clock.so"
    set_clock(clock, 0)
    compile_clock(library)
    service = start(workers=2, LD_PRELOAD=str(library), CLOCK_STEP_FILE=str(clock))
    counts = scenario(service, f"wall clock stepped by {step_s / HOUR_S:+.0f} h", fault)
    assert counts.correct == counts.sent
    assert [each.starts for each in service.subservices.values()] == [1, 1]


def set_clock(file: Path, step_s: int) -> None:
    """Write into the file that the processes have mapped; it is never truncated."""
    with file.open("r+b" if file.exists() else "wb") as out:
        out.write(struct.pack("q", step_s))


def compile_clock(library: Path) -> None:
    """Compile clock.c; with libfaketime, Python's time.sleep() fails, monotonic clock or not."""
    if shutil.which("cc") is None:
        pytest.fail("no C compiler; install one: apt-get install gcc libc6-dev")
    command = ["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(CLOCK_SOURCE)]
    subprocess.run(command, check=True)
