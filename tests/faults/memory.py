"""Memory that runs out: a killer like the kernel's, and a limit like `ulimit -v`."""

import os
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.faults.service import House

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
POLL_S = 0.004
LOOK_AGAIN = 50  # polls between two looks for new workers


@contextmanager
def killer(house: House, limit_bytes: int) -> Iterator[list[int]]:
    """Kill every worker that takes more than the limit, as the kernel does when memory runs out;
    gives the pids of those killed.
    """
    stopping = threading.Event()
    killed: list[int] = []

    def watch() -> None:
        while not stopping.is_set():
            workers = [pid for pid in house.workers() if pid not in killed]
            for _ in range(LOOK_AGAIN):
                stopping.wait(POLL_S)
                for pid in workers:
                    if resident_bytes(pid) > limit_bytes and pid not in killed:
                        os.kill(pid, signal.SIGKILL)
                        killed.append(pid)

    thread = threading.Thread(target=watch, name="killer")
    thread.start()
    try:
        yield killed
    finally:
        stopping.set()
        thread.join()


@contextmanager
def scarce(house: House, spare_bytes: int) -> Iterator[None]:
    """Let each worker that runs have so much more memory than it has, and no more."""
    workers = house.workers()
    for pid in workers:
        limit = pages(pid)[0] * PAGE_BYTES + spare_bytes
        resource.prlimit(pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        no_limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        for pid in workers:
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_AS, no_limit)


def resident_bytes(pid: int) -> int:
    try:
        return pages(pid)[1] * PAGE_BYTES
    except (OSError, IndexError):
        return 0  # it has ended


def pages(pid: int) -> tuple[int, int]:
    """Virtual and resident size, proc_pid_statm(5)."""
    virtual, resident = Path(f"/proc/{pid}/statm").read_text().split()[:2]
    return int(virtual), int(resident)
