"""A real service that a page of another origin may call: `make test-examples`."""

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.browser.conftest import browser
from tests.integration.quick import put_quick_model
from tests.support.server import ROOT, Server

__all__ = ["browser"]


class Files(SimpleHTTPRequestHandler):
    """Serves files without a line on standard error for each."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as of the class
        """Print nothing."""


@pytest.fixture(scope="session")
def origin() -> Iterator[str]:
    """The web page's own server."""
    handler = functools.partial(Files, directory=str(ROOT / "examples/webpage"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as files:
        threading.Thread(target=files.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{files.server_port}"
        files.shutdown()


@pytest.fixture(scope="session")
def server(origin: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with one worker of a short warm-up, which names the page's origin."""
    folder = tmp_path_factory.mktemp("server")
    put_quick_model(folder / "store")
    settings = {
        "FCNSERVE_WORKERS": "1",
        "FCNSERVE_THREADS": "1",
        "FCNSERVE_MODEL_STORE": str(folder / "store"),
        "FCNSERVE_CORS_ORIGINS": origin,
    }
    started = Server(folder / "serve.log", settings)
    try:
        yield started
    finally:
        started.end()
