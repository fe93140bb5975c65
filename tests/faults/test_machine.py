"""The machine around the service fails: no room for logs, and a clock that jumps."""

import shutil
import struct
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.scenario import StartHouse, Strike

HOUR_S, MINUTE_S = 3600, 60
CLOCK_SOURCE = Path(__file__).with_name("clock.c")
FULL = Path("/dev/full")  # "no space left on device" for whoever writes
STAYS_S = 8.0  # longer than the windows and intervals that a clock could upset


def test_the_disk_is_full_for_logs(start: StartHouse, strike: Strike) -> None:
    """Both halves log at every level, and a worker is killed meanwhile, which is worth lines."""

    def fault() -> None:
        victim = house.workers()[0]
        house.kill(victim)
        house.wait_until(lambda: victim not in house.workers())

    house = start(workers=2, log=FULL, FCNSERVE_LOG_LEVEL="debug")
    tally = strike(house, "no room for logs, and a Python worker killed", fault)
    assert tally.right_percent >= 99
    assert [half.starts for half in house.halves.values()] == [1, 1]


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S], ids=["ahead", "back"])
def test_the_wall_clock_is_stepped(
    start: StartHouse, strike: Strike, tmp_path: Path, step_s: int
) -> None:
    """For gateway, supervisor, Java and Python workers; see clock.c."""

    def fault() -> None:
        set_clock(clock, step_s)
        house.wait_until(lambda: abs(house.wall_clock_s() - time.time() - step_s) < MINUTE_S)
        time.sleep(STAYS_S)  # how long it goes on so, before anybody looks

    clock, library = tmp_path / "clock", tmp_path / "clock.so"
    set_clock(clock, 0)
    compile_clock(library)
    house = start(workers=2, LD_PRELOAD=str(library), CLOCK_STEP_FILE=str(clock))
    tally = strike(house, f"wall clock stepped by {step_s / HOUR_S:+.0f} h", fault)
    assert tally.right == tally.sent
    assert [half.starts for half in house.halves.values()] == [1, 1]


def set_clock(file: Path, step_s: int) -> None:
    """Write into the file that the processes have mapped: its end is never cut off."""
    with file.open("r+b" if file.exists() else "wb") as out:
        out.write(struct.pack("q", step_s))


def compile_clock(library: Path) -> None:
    """Not libfaketime: with it, Python's time.sleep() fails, monotonic clock or not."""
    if shutil.which("cc") is None:
        pytest.fail("no C compiler; install one: apt-get install gcc libc6-dev")
    command = ["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(CLOCK_SOURCE)]
    subprocess.run(command, check=True)
