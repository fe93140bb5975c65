"""Child processes that are really gone when they are told to go, their own children included."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
POLL_S = 0.05
KILL_WAIT_S = 5.0


class Subprocess:
    """A running command, the leader of its own session: a Ctrl-C reaches its parent alone."""

    def __init__(self, process: "subprocess.Popen[bytes]", grace_s: float) -> None:
        self._process = process
        self._grace_s = grace_s

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        """Tell how it ended; None while it runs."""
        return self._process.poll()

    def tell(self) -> None:
        """Ask it to end; the gateway, when told twice, waits for nobody."""
        self._process.terminate()

    def stop(self) -> None:
        """Ask it to end, wait, and kill what is left of its process group."""
        if self.exit_code() is None:
            self.tell()
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


@contextmanager
def running(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    grace_s: float,
    stdout: int | None = None,
    nice: int = 0,
    keep_open: Sequence[int] = (),
) -> Iterator[Subprocess]:
    """Run `command` in `folder`, as far behind others as `nice` says, with the files `keep_open`;
    on leaving it gets `grace_s` seconds to end, and is then killed.
    """
    die_too = dying_with(os.getpid())

    def begin() -> None:
        die_too()
        stand_back(nice)

    process = subprocess.Popen(
        command,
        env=dict(environment),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        start_new_session=True,
        pass_fds=keep_open,
        preexec_fn=begin,  # noqa: PLW1509 - a few system calls, no lock is taken
    )
    child = Subprocess(process, grace_s)
    try:
        yield child
    finally:
        child.stop()


def group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def dying_with(parent: int) -> Callable[[], None]:
    """Make what a child calls to get SIGTERM from the kernel when its parent dies, however it
    dies.
    """
    libc = ctypes.CDLL(None)  # loaded before the fork, where locks may be taken

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the kernel knew whom to tell
            os._exit(1)

    return ask


def stand_back(nice: int) -> None:
    """Let others go first: within this session, and, where the kernel weighs whole sessions against
    each other (autogroup, sched(7)), this session behind theirs.
    """
    if nice:
        os.nice(nice)
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(nice))
