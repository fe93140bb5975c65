"""Processes are grouped by role."""

import os
import subprocess
import sys

from loadtest.front.servers import WORKERS, by_role


def test_python_processes_are_workers_and_ended_ones_are_left_out() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert by_role([os.getpid(), ended.pid]) == {WORKERS: [os.getpid()]}
