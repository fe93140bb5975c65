"""Child processes run as they are told to, behind others where that is asked for."""

import os
from pathlib import Path

from service.subprocesses import running

SWITCH = Path("/proc/sys/kernel/sched_autogroup_enabled")


def test_a_child_that_stands_back_does_so_within_its_session_and_beyond() -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    with running(["sleep", "60"], os.environ, Path("/"), 5, nice=5) as child:
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == min(19, own + 5)
        if SWITCH.exists() and SWITCH.read_text().strip() == "1":
            assert Path(f"/proc/{child.pid}/autogroup").read_text().endswith("nice 5\n")
    with running(["sleep", "60"], os.environ, Path("/"), 5) as child:
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == own
