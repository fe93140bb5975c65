"""Subprocesses run with the priority that they are started with."""

import os
from pathlib import Path

from service.subprocesses import running

SWITCH = Path("/proc/sys/kernel/sched_autogroup_enabled")


def test_a_lower_priority_holds_within_the_session_and_between_sessions() -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    with running(["sleep", "60"], os.environ, Path("/"), 5, nice=5) as process:
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == min(19, own + 5)
        if SWITCH.exists() and SWITCH.read_text().strip() == "1":
            assert Path(f"/proc/{process.pid}/autogroup").read_text().endswith("nice 5\n")
    with running(["sleep", "60"], os.environ, Path("/"), 5) as process:
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == own
