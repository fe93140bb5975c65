"""Subprocesses that end together with their own subprocesses, also when this process is killed.

In: a command. Out: a `Subprocess`, which has ended when the `with` block has. The standard library
starts processes; psutil, circus and supervisord were considered: none of them sets the kernel's
parent-death signal, which keeps a killed supervisor from leaving orphans. Called by
`service.all_in_one`, `service.worker.torchserve`, `service.server.supervisor` and the load tests.
"""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

PR_SET_PDEATHSIG = 1  # linux/prctl.h
POLL_S = 0.05
KILL_WAIT_S = 5.0


class Subprocess:
    """A running command, the leader of its own session: Ctrl-C reaches only its parent."""

    def __init__(self, process: "subprocess.Popen[bytes]", grace_s: float) -> None:
        self._process = process
        self._grace_s = grace_s

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        """Return the exit code; None while it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Send SIGTERM; the gateway ends at once at a second one."""
        self._process.terminate()

    def stop(self) -> None:
        """Send SIGTERM, wait for the grace period, and kill the rest of its process group."""
        if self.exit_code() is None:
            self.terminate()
        deadline = time.monotonic() + self._grace_s
        while self.exit_code() is None and time.monotonic() < deadline:
            time.sleep(POLL_S)
        self._kill_group()

    def _kill_group(self) -> None:
        deadline = time.monotonic() + KILL_WAIT_S
        while group_exists(self.pid) and time.monotonic() < deadline:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.poll()
            time.sleep(POLL_S)


class Streams(NamedTuple):
    """Where a subprocess writes, as Popen takes it; None: where this process does."""

    stdout: int | None = None
    stderr: int | None = None


OWN_STREAMS = Streams()


@contextmanager
def running(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    grace_s: float,
    nice: int = 0,
    inherited: Sequence[int] = (),
    streams: Streams = OWN_STREAMS,
) -> Iterator[Subprocess]:
    """Run `command` in `folder`, with its priority lowered by `nice` and the open files
    `inherited`; on exit it gets `grace_s` seconds to end, and is then killed.
    """
    set_parent_death_signal = parent_death_signal(os.getpid())

    def before_exec() -> None:
        set_parent_death_signal()
        lower_priority(nice)

    process = subprocess.Popen(
        command,
        env=dict(environment),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=inherited,
        stdout=streams.stdout,
        stderr=streams.stderr,
        preexec_fn=before_exec,  # noqa: PLW1509 - a few system calls, no lock is taken
    )
    started = Subprocess(process, grace_s)
    try:
        yield started
    finally:
        started.stop()


def group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def parent_death_signal(parent: int) -> Callable[[], None]:
    """Return a function for a new process to call, after which the kernel sends it SIGTERM when
    its parent ends, however that ends.
    """
    libc = ctypes.CDLL(None)  # loaded before the fork, where locks may be taken

    def request() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before this call
            os._exit(1)

    return request


def lower_priority(nice: int) -> None:
    """Lower the priority within this session and, where the kernel weighs whole sessions against
    each other (autogroup, sched(7)), of this session.
    """
    if nice:
        os.nice(nice)
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(nice))
