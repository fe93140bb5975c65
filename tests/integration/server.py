"""A whole service as a child of the tests: started, asked over HTTP, looked at from outside.

Every process of one service carries a mark in its environment, by which it is found even when its
parent is gone.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "service" / "samples"
MODEL = "fcn8s-lite2"
WEIGHTS = ROOT / "model_store" / MODEL / "weights.safetensors"
CAT = SAMPLES / "cat.jpg"
ASTRONAUT = SAMPLES / "astronaut.jpg"

MARK = "FCNSERVE_TEST_MARK"
START_S = 90.0
STOP_S = 30.0
POLL_S = 0.05


class Command:
    """One run of `fcnserve` with settings of its own; its output goes to a file."""

    def __init__(
        self,
        log: Path,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        wrapper: Sequence[str] = (),
    ) -> None:
        """Start it, at the end of a wrapper's command line where one is given."""
        self.log = log
        self.mark = uuid.uuid4().hex
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [*wrapper, sys.executable, "-m", "service.cli.main", *arguments],
                cwd=ROOT,
                env=clean_environment() | {MARK: self.mark} | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait(self, seconds: float = STOP_S) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(seconds)

    def wait_until_running(self, processes: int, port: int) -> None:
        """Poll until it has so many processes and listens; it may still be loading its model.

        Each has a command line of its own: a child that shows its parent's has yet to become what
        it is started as.
        """

        def running() -> bool:
            assert self.process.poll() is None, f"ended while starting:\n{self.output()}"
            found = self.processes().values()
            return len(found) == len(set(found)) == processes and is_listening(port)

        wait_until(running, START_S, lambda: f"{self.processes()}\n{self.output()}")

    def signal_group(self, signum: int) -> None:
        """What a terminal does on Ctrl-C: the whole foreground group hears it."""
        os.killpg(self.process.pid, signum)

    def processes(self) -> dict[int, str]:
        """Every living process of this run: its command line by pid."""
        return marked_processes(self.mark)

    def pid_of(self, words: str) -> int:
        """The one process whose command line has these words."""
        pids = self.pids_of(words)
        assert len(pids) == 1, f"{words}: {self.processes()}"
        return pids[0]

    def pids_of(self, words: str) -> list[int]:
        """Every process whose command line has these words."""
        return [pid for pid, command in self.processes().items() if words in command]

    def assert_gone(self, seconds: float = STOP_S) -> None:
        """No process of this run is left, or soon is."""
        wait_until(lambda: not self.processes(), seconds, lambda: f"left: {self.processes()}")

    def end(self) -> None:
        """Leave nothing behind, whatever the test did."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(STOP_S)
        finally:
            for pid in self.processes():
                os.kill(pid, signal.SIGKILL)


class Server(Command):
    """`fcnserve serve` on a free port, once it is ready."""

    def __init__(self, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, timeout=60, trust_env=False)
        super().__init__(log, "serve", "--port", str(self.port), environment=environment)
        try:
            wait_until(self._is_ready, START_S, lambda: f"not ready:\n{self.output()}")
        except BaseException:
            self.end()
            raise

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, f"ended while starting:\n{self.output()}"
        try:
            return self.client.get("/readyz").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def ask(
        self, body: bytes, headers: Mapping[str, str] | None = None, /, **query: object
    ) -> httpx.Response:
        """Send a photo as the whole body."""
        parameters = {name: str(value) for name, value in query.items()}
        return self.client.post("/v1/segment", content=body, headers=headers, params=parameters)

    def segment(self, body: bytes, **query: object) -> bytes:
        """The body of an answer that has to be a good one."""
        response = self.ask(body, **query)
        assert response.status_code == httpx.codes.OK, response.text
        return response.content

    @cached_property
    def torchserve_url(self) -> str:
        """TorchServe's own address, which only the gateway is told."""
        environ = Path(f"/proc/{self.pid_of('service.cli.main gateway')}/environ").read_bytes()
        settings = dict(pair.split(b"=", 1) for pair in environ.split(b"\0") if b"=" in pair)
        return settings[b"FCNSERVE_TORCHSERVE_URL"].decode()

    def upstream(self, body: bytes, options: Mapping[str, object]) -> httpx.Response:
        """Ask TorchServe itself, as the gateway does."""
        return httpx.post(
            f"{self.torchserve_url}/predictions/{MODEL}",
            content=body,
            headers={
                "Content-Type": "application/octet-stream",
                "X-Fcnserve-Options": json.dumps(options),
            },
            timeout=60,
            trust_env=False,
        )

    def peak_bytes(self, words: str) -> int:
        """The most memory that any process with these words has had in use."""
        return max(map(peak_bytes, self.pids_of(words)))

    def metric(self, sample: str) -> float:
        """The value of a sample as /metrics has it, or the sum of all that begin so."""
        lines = self.client.get("/metrics").text.splitlines()
        found = [line for line in lines if line.startswith((f"{sample} ", f"{sample}{{"))]
        if not found:
            raise LookupError(sample)
        return sum(float(line.rsplit(" ", 1)[1]) for line in found)

    def end(self) -> None:
        self.client.close()
        super().end()


def marked_processes(mark: str) -> dict[int, str]:
    """Every living process with this mark in its environment: its command line by pid."""
    entry = f"{MARK}={mark}".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if entry in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(folder.name)] = command.decode(errors="replace")
        except OSError:
            continue
    return found


def clean_environment() -> dict[str, str]:
    """This one, without settings that a developer may have set for another server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FCNSERVE_")}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def wait_until(
    condition: Callable[[], bool], seconds: float, complaint: Callable[[], str] = lambda: ""
) -> None:
    """Poll until it holds; fails when `seconds` have passed."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, complaint()
        time.sleep(POLL_S)
