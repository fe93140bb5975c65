"""The whole house as an operator runs it: both halves apart, each started again when it ends.

Made once a test, broken by it from outside, and looked at through its ports and through /proc.
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
from tests.integration.server import (
    MARK,
    MODEL,
    POLL_S,
    ROOT,
    clean_environment,
    free_port,
    marked_processes,
    wait_until,
)

RESTART_S = 1.0  # a container runtime's first pause
GRACE_S = 15.0
WHOLE_S = 150.0
LOG_CHARACTERS = 6000
WORKER = "model_service_worker.py"
JAVA = "org.pytorch.serve.ModelServer"
SUPERVISOR = "service.cli.main worker"


class Kept:
    """A half of the house, kept running by a thread until it is stopped."""

    def __init__(self, name: str, environment: Mapping[str, str], log: Path) -> None:
        # the shell is there for its redirection alone: nobody reads a pipe here
        program = (sys.executable, "-m", "service.cli.main", name)
        self._command = ["sh", "-c", 'exec "$@" >>"$0" 2>&1', str(log), *program]
        self._environment = environment
        self._stopping = threading.Event()
        self.starts = 0
        self._thread = threading.Thread(target=self._keep, name=name)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._stopping.is_set():
            self.starts += 1
            with running(self._command, self._environment, ROOT, GRACE_S) as child:
                while child.exit_code() is None and not self._stopping.wait(POLL_S):
                    pass
            self._stopping.wait(RESTART_S)


class House:
    """Gateway and worker with settings of their own, once every worker is up."""

    def __init__(
        self, folder: Path, workers: int, environment: Mapping[str, str], log: Path | None = None
    ) -> None:
        """Take where the house may write, and where its log goes if not there."""
        self.log = log or folder / "log"
        self.workers_wanted = workers
        self._mark = uuid.uuid4().hex
        store = folder / "models"  # of its own: others may pack the model meanwhile
        store.mkdir()
        (store / MODEL).symlink_to(ROOT / "model_store" / MODEL)
        port, self.worker_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        everything = clean_environment() | {
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
        everything |= environment
        self._client = httpx.Client(timeout=60, trust_env=False)
        self.halves = {name: Kept(name, everything, self.log) for name in ("worker", "gateway")}

    def stop(self) -> None:
        """Leave nothing behind, whatever the test did: what is stopped would not hear SIGTERM."""
        for pid in self.pids():
            signal_process(pid, signal.SIGCONT)
        for half in self.halves.values():
            half.stop()
        for pid in self.pids():
            signal_process(pid, signal.SIGKILL)
        self._client.close()

    # what runs

    def pids(self, words: str = "") -> list[int]:
        """Every process of the house whose command line has these words."""
        return [pid for pid, command in marked_processes(self._mark).items() if words in command]

    def workers(self) -> list[int]:
        return self.pids(WORKER)

    def java(self) -> int:
        (pid,) = self.pids(JAVA)
        return pid

    def kill(self, pid: int, signum: int = signal.SIGKILL) -> None:
        os.kill(pid, signum)

    # what it says

    def segment(self, body: bytes, **query: object) -> httpx.Response:
        parameters = {name: str(value) for name, value in query.items()}
        return self._client.post(f"{self.url}/v1/segment", content=body, params=parameters)

    def is_ready(self) -> bool:
        return self._status(f"{self.url}/readyz") == httpx.codes.OK

    def wall_clock_s(self) -> float:
        """What the gateway takes for the time, as the date of an answer tells."""
        date = self._client.get(f"{self.url}/livez").headers["Date"]
        return parsedate_to_datetime(date).timestamp()

    def workers_ready(self) -> int:
        """Count the workers that have loaded their model, as TorchServe's management port tells."""
        try:
            (model,) = self._client.get(f"{self._management()}/models/{MODEL}", timeout=2).json()
        except (httpx.TransportError, OSError, ValueError, LookupError):
            return 0  # it is not there, or on its way
        return sum(worker["status"] == "READY" for worker in model["workers"])

    def is_whole(self) -> bool:
        """Nothing is missing: TorchServe, its workers, and a gateway that says so."""
        running, ready = len(self.workers()), self.workers_ready()
        return running == ready == self.workers_wanted and self.is_ready()

    def wait_until_whole(self, seconds: float = WHOLE_S) -> None:
        self.wait_until(self.is_whole, seconds)

    def wait_until(self, condition: Callable[[], bool], seconds: float = WHOLE_S) -> None:
        wait_until(condition, seconds, lambda: f"still not so; the log ends:\n{self.log_tail()}")

    def log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-LOG_CHARACTERS:] if self.log.is_file() else ""

    def _management(self) -> str:
        """Find the address in the configuration that TorchServe was started with."""
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
