"""Runs `fcnserve` as a subprocess: commands, and a server that is ready.

Every process of one run has a mark in its environment, by which it is found even when its parent
has ended. Used by the integration, stack, fault and fuzz tests.
"""

import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import httpx

from handlers.shared.sections import split_sections, with_lengths
from handlers.shared.wire import ANSWER_SECTIONS, IMAGES_MEDIA_TYPE, Report, WorkerOptions
from loadtest.measure.usage import peak_bytes
from tests.support.polling import wait_until
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "service" / "samples"
MODEL = "fcn8s-lite2"
WEIGHTS = ROOT / "model_store" / MODEL / "weights.safetensors"
CAT = SAMPLES / "cat.jpg"
ASTRONAUT = SAMPLES / "astronaut.jpg"

MARK = "FCNSERVE_TEST_MARK"
START_S = 90.0
STOP_S = 30.0


class Command:
    """One run of `fcnserve` with its own settings; its output goes to a file."""

    def __init__(
        self,
        log: Path,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        wrapper: Sequence[str] = (),
    ) -> None:
        """Start it, after the wrapper's command line where there is one."""
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
        """Wait for its end, and return its exit code."""
        return self.process.wait(seconds)

    def wait_until_running(self, processes: int, port: int) -> None:
        """Poll until it has so many processes and listens; it may still be loading its model.

        Each process has its own command line: a child with its parent's has not started its
        program yet.
        """

        def running() -> bool:
            assert self.process.poll() is None, f"ended while starting:\n{self.output()}"
            found = self.processes().values()
            return len(found) == len(set(found)) == processes and is_listening(port)

        wait_until(running, START_S, lambda: f"{self.processes()}\n{self.output()}")

    def signal_group(self, signum: int) -> None:
        """Signal the foreground process group, as a terminal does on Ctrl-C."""
        os.killpg(self.process.pid, signum)

    def processes(self) -> dict[int, str]:
        """Command lines of this run's processes, by pid."""
        return marked_processes(self.mark)

    def pid_of(self, words: str) -> int:
        """The only process whose command line contains `words`."""
        pids = self.pids_of(words)
        assert len(pids) == 1, f"{words}: {self.processes()}"
        return pids[0]

    def pids_of(self, words: str) -> list[int]:
        """Every process whose command line contains `words`."""
        return [pid for pid, command in self.processes().items() if words in command]

    def assert_gone(self, seconds: float = STOP_S) -> None:
        """Wait until no process of this run is left."""
        wait_until(lambda: not self.processes(), seconds, lambda: f"left: {self.processes()}")

    def end(self) -> None:
        """End every process of this run, whatever the test did."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(STOP_S)
        finally:
            for pid in self.processes():
                os.kill(pid, signal.SIGKILL)


class Server(Command):
    """`fcnserve serve` on a free port, ready to answer."""

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

    def post_photo(
        self, body: bytes, headers: Mapping[str, str] | None = None, /, **query: object
    ) -> httpx.Response:
        """Send a photo as the whole body."""
        parameters = {name: str(value) for name, value in query.items()}
        return self.client.post("/v1/segment", content=body, headers=headers, params=parameters)

    def segment(self, body: bytes, **query: object) -> bytes:
        """Return the body of an answer, which has to be 200."""
        response = self.post_photo(body, **query)
        assert response.status_code == httpx.codes.OK, response.text
        return response.content

    @cached_property
    def torchserve_url(self) -> str:
        """TorchServe's own address, from the gateway's environment."""
        environ = Path(f"/proc/{self.pid_of('service.cli.main gateway')}/environ").read_bytes()
        settings = dict(pair.split(b"=", 1) for pair in environ.split(b"\0") if b"=" in pair)
        return settings[b"FCNSERVE_TORCHSERVE_URL"].decode()

    def upstream(
        self, images: Sequence[tuple[WorkerOptions, bytes]]
    ) -> list[tuple[str, Report, bytes]]:
        """Send images to TorchServe itself in one request, as the gateway does; return the media
        type, the report and the body of each answer.
        """
        sections = [part for options, body in images for part in (options.to_json().encode(), body)]
        answer = httpx.post(
            f"{self.torchserve_url}/predictions/{MODEL}",
            content=b"".join(with_lengths(sections)),
            headers={"Content-Type": IMAGES_MEDIA_TYPE},
            timeout=60,
            trust_env=False,
        )
        assert answer.status_code == httpx.codes.OK
        return [
            (bytes(media_type).decode(), Report.from_json(bytes(report)), bytes(body))
            for media_type, report, body in split_sections(answer.content, ANSWER_SECTIONS)
        ]

    def peak_bytes(self, words: str) -> int:
        """Peak memory of the largest process whose command line contains `words`."""
        return max(map(peak_bytes, self.pids_of(words)))

    def metric(self, sample: str) -> float:
        """Return the value of a sample of /metrics, or the sum over its labels."""
        lines = self.client.get("/metrics").text.splitlines()
        found = [line for line in lines if line.startswith((f"{sample} ", f"{sample}{{"))]
        if not found:
            raise LookupError(sample)
        return sum(float(line.rsplit(" ", 1)[1]) for line in found)

    def end(self) -> None:
        self.client.close()
        super().end()


def marked_processes(mark: str) -> dict[int, str]:
    """Command lines of the processes with this mark in their environment, by pid."""
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
    """Return this environment without settings for another server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FCNSERVE_")}


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
