"""Fixtures of the fault tests: services, scenarios, and the table of their results."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.counts import Counts
from tests.faults.results import save, table
from tests.faults.scenario import Scenario, StartService
from tests.faults.service import Service
from tests.integration.test_mixed_sizes import photos_of_many_sizes

HERE = Path(__file__).parent
RESULTS = pytest.StashKey[list[Counts]]()
FIGURES = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-results", action="store_true", help="write loadtest/results/faults.{json,md}"
    )
    parser.addoption(
        "--client-photos", type=int, default=1000, help="photos of the Python client's test"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RESULTS] = []
    config.stash[FIGURES] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.faults)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for line in config.stash[FIGURES]:
        terminalreporter.write_line(line)
    if results := config.stash[RESULTS]:
        terminalreporter.section("faults under load")
        terminalreporter.write_line(table(results))
        if config.getoption("--write-results"):
            save(results)


@pytest.fixture(scope="session")
def bodies() -> list[bytes]:
    return photos_of_many_sizes()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartService]:
    """Start services; they are stopped at the end of the test."""
    services: list[Service] = []

    def start(workers: int = 2, log: Path | None = None, **environment: str) -> Service:
        folder = tmp_path / str(len(services))
        folder.mkdir()
        services.append(Service(folder, workers, environment, log))
        services[-1].wait_until_complete()
        return services[-1]

    yield start
    for service in services:
        service.stop()


@pytest.fixture
def figures(pytestconfig: pytest.Config) -> list[str]:
    """Lines for the end of the report."""
    return pytestconfig.stash[FIGURES]


@pytest.fixture
def scenario(bodies: list[bytes], pytestconfig: pytest.Config) -> Scenario:
    return Scenario(bodies, pytestconfig.stash[RESULTS])
