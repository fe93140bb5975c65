"""A server as the comparison sees it: an entry of the catalogue in, a running one out.

Every server, ours too, is a command that is started and measured by the same code: what its
processes use, found by their parent, and what the clients of `loadtest.traffic.concurrent_clients`
see.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import URLError
from urllib.request import Request

from loadtest.benchmark.rows import Slice
from loadtest.measure import usage as measure
from loadtest.measure.counters import opener
from loadtest.measure.service import GRACE_S, LOG_CHARACTERS, POLL_S, START_TIMEOUT_S, NotReadyError
from loadtest.peers.catalogue import OUR_NAME, Entry
from loadtest.peers.install import python_of
from loadtest.peers.servers.setup import Setup
from loadtest.traffic.concurrent_clients import Burst, Target, burst
from service.settings import ROOT
from service.subprocesses import Subprocess, running
from service.worker.torchserve import free_ports

SERVER = "server"
PROCESSORS = os.cpu_count() or 1


class Hosted:
    """A running server."""

    def __init__(self, entry: Entry, port: int, child: Subprocess) -> None:
        self._child = child
        url = f"http://127.0.0.1:{port}{entry.peer.path}"
        headers = {"Content-Type": entry.peer.media_type, **entry.peer.headers}
        self.target = Target(url, headers, "", entry.peer.read)

    def burst(
        self, photos: Sequence[bytes], clients: int, seconds: float, executor: Executor
    ) -> tuple[Slice, Burst]:
        """Send whole rounds of photos; what the server used, and what the clients saw."""
        for pid in self.pids():
            with suppress(OSError):  # it has just ended
                measure.reset_peak(pid)
        before, foreign_s = self._use(measure.cpu_s), foreign_cpu_s()
        seen = executor.submit(burst, self.target, list(photos), clients, seconds).result()
        after, foreign_s = self._use(measure.cpu_s), foreign_cpu_s() - foreign_s
        used = sum(s - before.get(pid, 0.0) for pid, s in after.items())
        found = Slice(
            images=len(seen.latencies_ms),
            seconds=seen.seconds,
            cpu_s={SERVER: used},
            valid_pixels=0,
            latencies_ms=tuple(seen.latencies_ms),
            failed=seen.failed,
            peak_bytes={SERVER: int(sum(self._use(measure.peak_bytes).values()))},
            client_cpu_s=seen.cpu_s,
            foreign_share=max(0.0, foreign_s) / seen.seconds / PROCESSORS,
        )
        return found, seen

    def pids(self) -> list[int]:
        return [self._child.pid, *measure.descendants(self._child.pid)]

    def _use(self, figure: Callable[[int], float]) -> dict[int, float]:
        """Ask for a figure of each process; one that has just ended has none."""
        found = {}
        for pid in self.pids():
            try:
                found[pid] = figure(pid)
            except (OSError, ValueError):
                continue
        return found


def foreign_cpu_s() -> float:
    """Time of all that this process has not started; other servers that are up are its own."""
    family_s = measure.own_cpu_s()
    for pid in measure.descendants(os.getpid()):
        with suppress(OSError):
            family_s += measure.cpu_s(pid)
    return measure.machine_busy_s() - family_s


@contextmanager
def hosted(entry: Entry, model: Path, photo: bytes) -> Iterator[Hosted]:
    """Start a server and wait until it has answered `photo`; on leaving, it is gone."""
    (port,) = free_ports(1)
    setup = Setup(
        str(model.resolve()), port, entry.grouping, entry.processes, entry.batch, entry.wait_ms
    )
    family: list[int] = []
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="peer-", dir="/tmp"))
        log = Path(folder, "log")
        stack.callback(end, family)  # once the server has been told to end, and has had its time
        child = stack.enter_context(
            running(command(entry, log), environment(entry, setup, folder), ROOT, GRACE_S)
        )
        stack.callback(lambda: family.extend(measure.descendants(child.pid)))
        server = Hosted(entry, port, child)
        wait_until_answered(server.target, child, photo, log)
        yield server


def end(family: Sequence[int]) -> None:
    """Kill what is left of a server: some start processes in sessions of their own."""
    for pid in family:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def command(entry: Entry, log: Path) -> list[str]:
    """Name what runs a server; all that it says goes to a file."""
    if entry.peer.name == OUR_NAME:
        started = [sys.executable, "-m", "service.cli.main", "serve"]
    else:
        python = str(python_of(entry.peer.name))
        started = [python, "-m", f"loadtest.peers.on_{entry.peer.name}"]
    return ["sh", "-c", 'exec "$@" >"$0" 2>&1', str(log), *started]


def environment(entry: Entry, setup: Setup, folder: str) -> dict[str, str]:
    """Set a server's environment: ours chooses its threads itself, others are told."""
    if entry.peer.name == OUR_NAME:
        model = Path(setup.model)
        store = Path(folder, "store")
        store.mkdir()
        (store / model.name).symlink_to(model)
        return os.environ | {
            "FCNSERVE_PORT": str(setup.port),
            "FCNSERVE_MODEL_STORE": str(store),
            "FCNSERVE_MODELS": model.name,
            "FCNSERVE_THREADS": "0",
        }
    bin_folder = python_of(entry.peer.name).parent
    return (
        os.environ
        | setup.environment()
        | dict(entry.peer.environment)
        | {
            "FCNSERVE_THREADS": str(entry.threads),
            "OMP_NUM_THREADS": str(entry.threads),
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PEER_FOLDER": folder,
        }
    )


def wait_until_answered(target: Target, child: Subprocess, photo: bytes, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not answers(target, photo):
        if child.exit_code() is not None or time.monotonic() > deadline:
            last_lines = log.read_text(errors="replace")[-LOG_CHARACTERS:]
            raise NotReadyError(f"{target.url} does not answer; its log ends so:\n{last_lines}")
        time.sleep(POLL_S)


def answers(target: Target, photo: bytes) -> bool:
    request = Request(target.url, photo, dict(target.headers), method="POST")  # noqa: S310
    try:
        with opener.open(request, timeout=20) as answer:
            return target.read(answer.headers, answer.read()) is not None
    except (URLError, OSError):
        return False
