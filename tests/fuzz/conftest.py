"""Options and fixtures of fuzzing: `make test-fuzz ARGS="--fuzz-images 1000000"`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.mutate import FORMATS
from tests.support.server import Server

HERE = Path(__file__).parent
FIGURES = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz-images", type=int, default=40_000, help="mutated photos to decode")
    parser.addoption("--fuzz-sent", type=int, default=20_000, help="mutated photos to send")
    parser.addoption("--fuzz-requests", type=int, default=200, help="requests per route and kind")
    parser.addoption("--fuzz-abuses", type=int, default=4_000, help="mutated scripts of raw HTTP")
    parser.addoption("--fuzz-seed", type=int, default=1, help="seed of the mutated photos")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.fuzz)


@pytest.fixture(scope="session")
def images(request: pytest.FixtureRequest) -> int:
    number: int = request.config.getoption("--fuzz-images")
    return number


@pytest.fixture(scope="session")
def sent(request: pytest.FixtureRequest) -> int:
    number: int = request.config.getoption("--fuzz-sent")
    return number


@pytest.fixture(scope="session")
def requests(request: pytest.FixtureRequest) -> int:
    number: int = request.config.getoption("--fuzz-requests")
    return number


@pytest.fixture(scope="session")
def abuses(request: pytest.FixtureRequest) -> int:
    number: int = request.config.getoption("--fuzz-abuses")
    return number


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    number: int = request.config.getoption("--fuzz-seed")
    return number


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real service that reads all formats; photos are limited in size, so that leaks show."""
    log = tmp_path_factory.mktemp("server") / "serve.log"
    formats = {"FCNSERVE_FORMATS": ",".join(sorted(FORMATS)), "FCNSERVE_MAX_PIXELS": "4000000"}
    started = Server(log, {"FCNSERVE_WORKERS": "2", "FCNSERVE_THREADS": "1", **formats})
    try:
        yield started
    finally:
        started.end()


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> list[str]:
    """Lines for the end of the report."""
    return request.config.stash.setdefault(FIGURES, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in terminalreporter.config.stash.get(FIGURES, []):
        terminalreporter.write_line(line)
