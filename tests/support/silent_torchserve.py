"""A TorchServe that runs and answers nothing, and a server that answers as its models would."""

import socket
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from handlers.shared.wire import MODEL_HEADER
from service.inference_address import InferenceAddress
from service.subprocesses import running
from service.worker.liveness import LivenessProbe
from service.worker.torchserve import TorchServe

WITHIN_S = 10.0


class Predictions(BaseHTTPRequestHandler):
    """Workers that answer (well, odd), hang (hung), or are dead (any other model)."""

    def do_POST(self) -> None:
        answers = self.path in ("/predictions/well", "/predictions/odd")
        if self.path == "/predictions/hung":
            time.sleep(WITHIN_S)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200 if self.path == "/predictions/well" else 507)
        if answers:
            self.send_header(MODEL_HEADER, "well@0123456789abcdef")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


class UnixServer(ThreadingHTTPServer):
    """An HTTP server that listens on a Unix socket."""

    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", 0

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        request, _ = self.socket.accept()
        return request, ("localhost", 0)


@contextmanager
def predictions_on(socket_path: Path) -> Iterator[InferenceAddress]:
    """Serve `Predictions` on a Unix socket; gives the address."""
    with UnixServer(str(socket_path), Predictions) as server:  # type: ignore[arg-type]  # a path
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield InferenceAddress("localhost", 0, str(socket_path))
        server.shutdown()


@contextmanager
def predictions() -> Iterator[int]:
    """Serve `Predictions`; gives the port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Predictions) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def probe_of(port: int, *models: str) -> LivenessProbe:
    return LivenessProbe(InferenceAddress("127.0.0.1", port), models, timeout_s=5)


@contextmanager
def silent_torchserve(folder: Path, *models: str) -> Iterator[TorchServe]:
    """Run a process in TorchServe's place that only sleeps."""
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with running(command, {}, folder, grace_s=2) as process:
        (folder / "loads").mkdir()
        address = InferenceAddress("127.0.0.1", 1)
        yield TorchServe(process, models, folder / "loads", folder / "flights", address, 1)
