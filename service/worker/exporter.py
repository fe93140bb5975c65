"""The worker's own small web server: `/metrics` for Prometheus, `/healthz` for who runs containers.

Called by `service.worker.run`, which watches over TorchServe; it answers even while that does not.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

# for which figures are shown again: to collect them asks the kernel about every process
KEPT_S = 1.0

logger = logging.getLogger(__name__)


class Server(ThreadingMixIn, WSGIServer):
    """Each request has a thread, so that a slow reader holds nobody up."""

    daemon_threads = True


class Handler(WSGIRequestHandler):
    """Bounded in time, and silent: probes would fill the log."""

    timeout = 10

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        logger.debug(format, *args)


class Figures:
    """The text of `/metrics`, made once a second at most: scrapes leave the processors to the
    workers.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._making = threading.Lock()
        self._text = b""
        self._stale_at = 0.0

    def text(self) -> bytes:
        with self._making:
            if time.monotonic() >= self._stale_at:
                self._text = generate_latest(self._registry)
                self._stale_at = time.monotonic() + KEPT_S
            return self._text


def application(registry: CollectorRegistry, is_healthy: Callable[[], bool]) -> WSGIApplication:
    """Answer `/metrics` and `/healthz`; anything else is not found."""
    figures = Figures(registry)

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            start("200 OK", [("Content-Type", CONTENT_TYPE_LATEST)])
            return [figures.text()]
        status, text = HTTPStatus.NOT_FOUND, "there are /metrics and /healthz here"
        if path == "/healthz" and is_healthy():
            status, text = HTTPStatus.OK, "the worker answers"
        elif path == "/healthz":
            status, text = HTTPStatus.SERVICE_UNAVAILABLE, "no worker has answered lately"
        start(f"{status.value} {status.phrase}", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{text}\n".encode()]

    return answer


@contextmanager
def exporting(host: str, port: int, app: WSGIApplication) -> Iterator[int]:
    """Serve in the background and give the port; raises OSError where it is taken."""
    with make_server(host, port, app, Server, Handler) as server:
        threading.Thread(target=server.serve_forever, name="exporter", daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
