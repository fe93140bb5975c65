"""Starts the gateway and the worker on free ports for a benchmark, and stops them.

A model folder and settings in, a `RunningService` out: its addresses and the ids of its processes.
The two are the subservices that `fcnserve serve` starts. Called by the `run` modules of the
benchmark, capacity, crosscheck, front and overload rooms.
"""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from handlers.shared.wire import REPORT_HEADER
from loadtest.measure.usage import descendants, process_name
from loadtest.traffic.concurrent_clients import Endpoint
from service.all_in_one.readiness import is_ready
from service.all_in_one.subservices import command, subservice_environment
from service.inference_address import InferenceAddress
from service.ports import free_ports
from service.settings import ROOT, Settings
from service.subprocesses import Subprocess, running

START_TIMEOUT_S = 300.0
POLL_S = 0.2
GRACE_S = 15.0
LOG_CHARACTERS = 3000
GATEWAY, TORCHSERVE = "gateway", "torchserve"
JAVA, WORKERS = "java", "workers"
PROGRAM = (sys.executable, "-m")


class NotReadyError(RuntimeError):
    """The service did not start; the message has the end of its log."""


class RunningService:
    """A service that is ready: its endpoints, and its processes by role."""

    def __init__(
        self, model: str, urls: Mapping[str, str], subservices: Mapping[str, Subprocess]
    ) -> None:
        self.gateway_url = urls[GATEWAY]
        torchserve = InferenceAddress.parse(urls[TORCHSERVE])
        self.endpoints = {
            GATEWAY: Endpoint(
                f"{urls[GATEWAY]}/v1/segment", {"Content-Type": "image/jpeg"}, "Server-Timing"
            ),
            TORCHSERVE: Endpoint(
                f"http://{torchserve.authority}{torchserve.prefix}/predictions/{model}",
                {"Content-Type": "application/octet-stream"},
                REPORT_HEADER,
                socket_path=torchserve.socket_path,
            ),
        }
        gateway, worker = subservices["gateway"].pid, subservices["worker"].pid
        self._gateway, self._worker = gateway, worker

    @property
    def pids(self) -> dict[str, list[int]]:
        """The processes that run now, by role."""
        below = descendants(self._worker)
        java = [pid for pid in below if process_name(pid) == "java"]
        return {
            GATEWAY: [self._gateway, *descendants(self._gateway)],
            JAVA: [self._worker, *java],  # and its supervisor
            WORKERS: [pid for pid in below if pid not in java],
        }


@contextmanager
def start_service(folder: Path, settings: Mapping[str, str]) -> Iterator[RunningService]:
    """Serve a model folder until the block is left; raises NotReadyError."""
    with TemporaryDirectory(prefix="fcnserve-bench-") as store:
        Path(store, folder.name).symlink_to(folder.absolute())
        with start_store(Path(store), folder.name, settings) as service:
            yield service


@contextmanager
def start_store(
    store: Path,
    model: str,
    settings: Mapping[str, str],
    programs: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Iterator[RunningService]:
    """Serve a model of a store until the block is left; the log goes there.

    `programs` replace the commands of gateway and worker. Raises NotReadyError.
    """
    with ExitStack() as stack:
        (port,) = free_ports(1)
        environment = subservice_environment(Settings(model_store=store), port)
        environment["FCNSERVE_THREADS"] = "0"  # this process's own value is for its loops
        environment |= {f"FCNSERVE_{name.upper()}": value for name, value in settings.items()}
        environment |= {"FCNSERVE_MODELS": model}
        log = store / "log"
        subservices = {
            name: stack.enter_context(
                running(log_to_file(log, program), environment, ROOT, GRACE_S)
            )
            for name in ("worker", "gateway")
            for program in [programs.get(name, command(name))]
        }
        urls = {
            GATEWAY: f"http://127.0.0.1:{port}",
            TORCHSERVE: environment["FCNSERVE_TORCHSERVE_URL"],
        }
        wait_until_ready(urls[GATEWAY], subservices, log)
        yield RunningService(model, urls, subservices)


def log_to_file(log: Path, program: Sequence[str]) -> list[str]:
    """Add to a command that its log goes to a file: writing it is part of its work."""
    return ["sh", "-c", 'exec "$@" 2>>"$0"', str(log), *program]


def wait_until_ready(url: str, subservices: Mapping[str, Subprocess], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not is_ready(url):
        ended = [name for name, child in subservices.items() if child.exit_code() is not None]
        if ended or time.monotonic() > deadline:
            problem = f"the {ended[0]} ended" if ended else f"not ready in {START_TIMEOUT_S:.0f} s"
            last_lines = log.read_text(errors="replace")[-LOG_CHARACTERS:]
            raise NotReadyError(f"{problem}; its log ends with:\n{last_lines}")
        time.sleep(POLL_S)
