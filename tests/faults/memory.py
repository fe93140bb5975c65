"""Memory faults: a killer like the kernel's, and a limit like `ulimit -v`."""

import os
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.faults.service import Service

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
POLL_S = 0.004
POLLS_PER_SEARCH = 50  # polls between two searches for new workers


@contextmanager
def memory_killer(service: Service, limit_bytes: int) -> Iterator[list[int]]:
    """Kill every worker that exceeds the limit, as the kernel does when memory runs out; yields the
    list of the pids killed.
    """
    stopping = threading.Event()
    killed: list[int] = []

    def kill_large_workers() -> None:
        while not stopping.is_set():
            workers = [pid for pid in service.workers() if pid not in killed]
            for _ in range(POLLS_PER_SEARCH):
                stopping.wait(POLL_S)
                for pid in workers:
                    if resident_bytes(pid) > limit_bytes and pid not in killed:
                        os.kill(pid, signal.SIGKILL)
                        killed.append(pid)

    thread = threading.Thread(target=kill_large_workers, name="memory-killer")
    thread.start()
    try:
        yield killed
    finally:
        stopping.set()
        thread.join()


@contextmanager
def limited_memory(service: Service, spare_bytes: int) -> Iterator[None]:
    """Limit each running worker to so much more memory than it has."""
    workers = service.workers()
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
