"""A service as an operator runs it: gateway and worker apart, each restarted when it ends.

Started once per test, broken by it from outside, and observed through its ports and /proc. Used by
`tests.faults.scenario` and by the tests.
"""

import os
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from service.subprocesses import running
from tests.support.polling import POLL_S, wait_until
from tests.support.ports import free_port
from tests.support.server import MARK, MODEL, ROOT, clean_environment, marked_processes

RESTART_S = 1.0  # a container runtime's first pause
GRACE_S = 15.0
RECOVERY_S = 150.0
LOG_CHARACTERS = 6000
WORKER = "model_service_worker.py"
JAVA = "org.pytorch.serve.ModelServer"


class RestartedSubservice:
    """A subservice, gateway or worker, that a thread restarts until it is stopped."""

    def __init__(self, name: str, environment: Mapping[str, str], log: Path) -> None:
        # the shell redirects the output: no process here reads a pipe
        program = (sys.executable, "-m", "service.cli.main", name)
        self._command = ["sh", "-c", 'exec "$@" >>"$0" 2>&1', str(log), *program]
        self.environment = environment
        self._stopping = threading.Event()
        self.starts = 0
        self._thread = threading.Thread(target=self._restart, name=name)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _restart(self) -> None:
        while not self._stopping.is_set():
            self.starts += 1
            with running(self._command, self.environment, ROOT, GRACE_S) as child:
                while child.exit_code() is None and not self._stopping.wait(POLL_S):
                    pass
            self._stopping.wait(RESTART_S)


class Service:
    """Gateway and worker with a test's settings."""

    def __init__(
        self, folder: Path, workers: int, environment: Mapping[str, str], log: Path | None = None
    ) -> None:
        """Start both in `folder`; the log goes there too unless `log` names another file."""
        self.log = log or folder / "log"
        self.expected_workers = workers
        self._mark = uuid.uuid4().hex
        store = folder / "models"  # a separate one: other tests may pack the model at the same time
        store.mkdir()
        (store / MODEL).symlink_to(ROOT / "model_store" / MODEL)
        port, self.worker_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        settings = clean_environment() | {
            MARK: self._mark,
            "FCNSERVE_PORT": str(port),
            "FCNSERVE_MODEL_STORE": str(store),
            "FCNSERVE_WORKERS": str(workers),
            "FCNSERVE_THREADS": "1",
            "FCNSERVE_WORKER_PORT": str(self.worker_port),
            "FCNSERVE_WORKER_METRICS_PORT": "0",
            "FCNSERVE_WORKER_STATUS_PORT": "0",
            "FCNSERVE_TORCHSERVE_URL": f"http://127.0.0.1:{self.worker_port}",
        }
        settings |= environment
        self._client = httpx.Client(timeout=60, trust_env=False)
        self.subservices = {
            name: RestartedSubservice(name, settings, self.log) for name in ("worker", "gateway")
        }

    def stop(self) -> None:
        """End every process; those that a test has stopped are continued, to handle SIGTERM."""
        for pid in self.pids():
            signal_process(pid, signal.SIGCONT)
        for subservice in self.subservices.values():
            subservice.stop()
        for pid in self.pids():
            signal_process(pid, signal.SIGKILL)
        self._client.close()

    # processes

    def pids(self, words: str = "") -> list[int]:
        """Every process of the service whose command line contains `words`."""
        return [pid for pid, command in marked_processes(self._mark).items() if words in command]

    def workers(self) -> list[int]:
        return self.pids(WORKER)

    def java(self) -> int:
        (pid,) = self.pids(JAVA)
        return pid

    def kill(self, pid: int, signum: int = signal.SIGKILL) -> None:
        os.kill(pid, signum)

    # answers

    def segment(self, body: bytes, **query: object) -> httpx.Response:
        parameters = {name: str(value) for name, value in query.items()}
        return self._client.post(f"{self.url}/v1/segment", content=body, params=parameters)

    def is_ready(self) -> bool:
        return self._status(f"{self.url}/readyz") == httpx.codes.OK

    def wall_clock_s(self) -> float:
        """The gateway's wall clock, from the date of an answer."""
        date = self._client.get(f"{self.url}/livez").headers["Date"]
        return parsedate_to_datetime(date).timestamp()

    def workers_ready(self) -> int:
        """Count the workers that have loaded their model, by TorchServe's management port."""
        try:
            (model,) = self._client.get(f"{self._management()}/models/{MODEL}", timeout=2).json()
        except (httpx.TransportError, OSError, ValueError, LookupError):
            return 0  # not running, or starting
        return sum(worker["status"] == "READY" for worker in model["workers"])

    def is_complete(self) -> bool:
        """Whether TorchServe and all workers run, and the gateway is ready."""
        running, ready = len(self.workers()), self.workers_ready()
        return running == ready == self.expected_workers and self.is_ready()

    def wait_until_complete(self, seconds: float = RECOVERY_S) -> None:
        self.wait_until(self.is_complete, seconds)

    def wait_until(self, condition: Callable[[], bool], seconds: float = RECOVERY_S) -> None:
        wait_until(condition, seconds, lambda: f"timed out; the log ends with:\n{self.log_tail()}")

    def log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-LOG_CHARACTERS:] if self.log.is_file() else ""

    def _management(self) -> str:
        """Read the address from the configuration that TorchServe was started with."""
        words = Path(f"/proc/{self.java()}/cmdline").read_text().split("\0")
        properties = Path(words[words.index("--ts-config") + 1]).read_text()
        settings = dict(line.split("=", 1) for line in properties.splitlines())
        return settings["management_address"].replace("\\", "")

    def _status(self, url: str) -> int:
        try:
            return self._client.get(url, timeout=2).status_code
        except httpx.TransportError:
            return 0


def signal_process(pid: int, signum: int) -> None:
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return
