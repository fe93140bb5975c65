"""The worker's own HTTP server: `/metrics` for Prometheus, `/healthz` for container runtimes.

In: a registry and a health check. Out: two routes, which answer even while TorchServe does not.
prometheus_client's own HTTP server was considered: it has no second route, and collects at every
scrape. Called by `service.worker.run`.
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

# metrics are collected at most this often: each time the kernel is asked about every process
CACHE_S = 1.0

logger = logging.getLogger(__name__)


class ThreadingServer(ThreadingMixIn, WSGIServer):
    """A thread per request, so that a slow client delays no other."""

    daemon_threads = True


class RequestHandler(WSGIRequestHandler):
    """Requests with a time limit, logged at debug level: health checks would fill the log."""

    timeout = 10

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        logger.debug(format, *args)


class CachedMetrics:
    """The text of `/metrics`, at most a second old, so that scrapes cost the workers little."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._lock = threading.Lock()
        self._text = b""
        self._expires_at = 0.0

    def text(self) -> bytes:
        with self._lock:
            if time.monotonic() >= self._expires_at:
                self._text = generate_latest(self._registry)
                self._expires_at = time.monotonic() + CACHE_S
            return self._text


def application(registry: CollectorRegistry, is_healthy: Callable[[], bool]) -> WSGIApplication:
    """Answer `/metrics` and `/healthz`; any other path is not found."""
    metrics = CachedMetrics(registry)

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            start("200 OK", [("Content-Type", CONTENT_TYPE_LATEST)])
            return [metrics.text()]
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
    """Serve in a background thread; gives the port. Raises OSError where it is in use."""
    with make_server(host, port, app, ThreadingServer, RequestHandler) as server:
        threading.Thread(target=server.serve_forever, name="exporter", daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
