"""One real service and one Chromium for all tests of the page; a page that is watched.

Chromium is the system's: `apt install chromium`, or its path in CHROMIUM.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.keyed import keyed_gateway
from tests.browser.prefix_proxy import PREFIX, prefix_proxy
from tests.browser.visits import Visit
from tests.integration.quick import put_quick_model
from tests.support.server import Server

HERE = Path(__file__).parent
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real service, with one worker of a short warm-up."""
    folder = tmp_path_factory.mktemp("server")
    put_quick_model(folder / "store")
    settings = {
        "FCNSERVE_WORKERS": "1",
        "FCNSERVE_THREADS": "1",
        "FCNSERVE_MODEL_STORE": str(folder / "store"),
    }
    started = Server(folder / "serve.log", settings)
    yield started
    started.end()


@pytest.fixture(scope="session")
def keyed_url(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A second gateway to the same worker, with API keys."""
    with keyed_gateway(server, tmp_path_factory.mktemp("keyed")) as url:
        yield url


@pytest.fixture
def prefixed_url(server: Server) -> Iterator[str]:
    """The service below a path prefix of a proxy."""
    with prefix_proxy(server.url) as url:
        yield url + PREFIX


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)))
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def visit(server: Server, browser: Browser) -> Iterator[Visit]:
    """A visitor on the page of the service, whose requests and messages have to be in order."""
    with Visit(browser, f"{server.url}/") as visit:
        yield visit
        visit.check()
