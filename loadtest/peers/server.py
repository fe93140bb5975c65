"""Starts and measures one server of the comparison: an entry of the catalogue in, slices out.

Every server, ours too, is a command that is started and measured by the same code: the CPU and
memory of its processes, found by their parent, and the results of the clients of
`loadtest.traffic.concurrent_clients`. Called by `loadtest.peers.run` and `loadtest.peers.tuning`.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import URLError
from urllib.request import Request

from loadtest.measure.counters import opener
from loadtest.measure.service import GRACE_S, LOG_CHARACTERS, POLL_S, START_TIMEOUT_S, NotReadyError
from loadtest.measure.slices import Slice
from loadtest.measure.usage import (
    cpu_s,
    descendants,
    machine_cpu_s,
    own_cpu_s,
    peak_bytes,
    reset_peak,
)
from loadtest.peers.catalogue import Entry
from loadtest.peers.launch import command, environment
from loadtest.peers.servers.setup import Setup
from loadtest.traffic.concurrent_clients import ClientResults, Endpoint, run_clients
from service.ports import free_ports
from service.settings import ROOT
from service.subprocesses import Subprocess, running

SERVER = "server"

CORES = os.cpu_count() or 1


class RunningServer:
    """A running server."""

    def __init__(self, entry: Entry, port: int, child: Subprocess) -> None:
        self._child = child
        url = f"http://127.0.0.1:{port}{entry.peer.path}"
        headers = {"Content-Type": entry.peer.media_type, **entry.peer.headers}
        self.endpoint = Endpoint(url, headers, "", entry.peer.read_mask)

    def measure(
        self, photos: Sequence[bytes], clients: int, seconds: float, client_process: Executor
    ) -> tuple[Slice, ClientResults]:
        """Send complete rounds of photos; returns the server's figures and the clients' results."""
        for pid in self.pids():
            with suppress(OSError):  # it has just ended
                reset_peak(pid)
        before, others_s = self._by_pid(cpu_s), other_programs_cpu_s()
        results = client_process.submit(
            run_clients, self.endpoint, list(photos), clients, seconds
        ).result()
        after, others_s = self._by_pid(cpu_s), other_programs_cpu_s() - others_s
        figures = Slice(
            images=len(results.latencies_ms),
            seconds=results.seconds,
            cpu_s={SERVER: sum(s - before.get(pid, 0.0) for pid, s in after.items())},
            valid_pixels=0,
            latencies_ms=tuple(results.latencies_ms),
            failed=results.failed,
            peak_bytes={SERVER: int(sum(self._by_pid(peak_bytes).values()))},
            client_cpu_s=results.cpu_s,
            other_programs_share=max(0.0, others_s) / results.seconds / CORES,
        )
        return figures, results

    def pids(self) -> list[int]:
        return [self._child.pid, *descendants(self._child.pid)]

    def _by_pid(self, figure: Callable[[int], float]) -> dict[int, float]:
        """Return a figure of each process, but of those that have just ended."""
        found = {}
        for pid in self.pids():
            try:
                found[pid] = figure(pid)
            except (OSError, ValueError):
                continue
        return found


def other_programs_cpu_s() -> float:
    """CPU time of all processes but this one and its descendants, which all servers are."""
    own_s = own_cpu_s()
    for pid in descendants(os.getpid()):
        with suppress(OSError):
            own_s += cpu_s(pid)
    return machine_cpu_s() - own_s


@contextmanager
def start_server(entry: Entry, model: Path, photo: bytes) -> Iterator[RunningServer]:
    """Start a server and wait until it has answered `photo`; stops it when the block is left."""
    (port,) = free_ports(1)
    setup = Setup(
        str(model.resolve()), port, entry.grouping, entry.processes, entry.batch, entry.wait_ms
    )
    pids: list[int] = []
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="peer-", dir="/tmp"))
        log = Path(folder, "log")
        stack.callback(kill_all, pids)  # after the server's time to stop
        child = stack.enter_context(
            running(command(entry, log), environment(entry, setup, folder), ROOT, GRACE_S)
        )
        stack.callback(lambda: pids.extend(descendants(child.pid)))
        server = RunningServer(entry, port, child)
        wait_until_answered(server.endpoint, child, photo, log)
        yield server


def kill_all(pids: Sequence[int]) -> None:
    """Kill the remaining processes of a server: some start processes in their own sessions."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wait_until_answered(endpoint: Endpoint, child: Subprocess, photo: bytes, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not has_answer(endpoint, photo):
        if child.exit_code() is not None or time.monotonic() > deadline:
            last_lines = log.read_text(errors="replace")[-LOG_CHARACTERS:]
            raise NotReadyError(f"{endpoint.url} does not answer; its log ends with:\n{last_lines}")
        time.sleep(POLL_S)


def has_answer(endpoint: Endpoint, photo: bytes) -> bool:
    request = Request(endpoint.url, photo, dict(endpoint.headers), method="POST")  # noqa: S310
    try:
        with opener.open(request, timeout=20) as answer:
            return endpoint.read_mask(answer.headers, answer.read()) is not None
    except (URLError, OSError):
        return False
