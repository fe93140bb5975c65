"""Houses to break, the table of what came of it, and where it is written."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.counts import Tally
from tests.faults.results import save, table
from tests.faults.scenario import StartHouse, Strike
from tests.faults.service import House
from tests.integration.test_mixed_sizes import photos_of_many_sizes

HERE = Path(__file__).parent
TALLIES = pytest.StashKey[list[Tally]]()
FIGURES = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-results", action="store_true", help="write loadtest/results/faults.{json,md}"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TALLIES] = []
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
    if tallies := config.stash[TALLIES]:
        terminalreporter.section("faults under load")
        terminalreporter.write_line(table(tallies))
        if config.getoption("--write-results"):
            save(tallies)


@pytest.fixture(scope="session")
def bodies() -> list[bytes]:
    return photos_of_many_sizes()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartHouse]:
    """Start houses; they are gone when the test is over."""
    houses: list[House] = []

    def start(workers: int = 2, log: Path | None = None, **environment: str) -> House:
        folder = tmp_path / str(len(houses))
        folder.mkdir()
        houses.append(House(folder, workers, environment, log))
        houses[-1].wait_until_whole()
        return houses[-1]

    yield start
    for house in houses:
        house.stop()


@pytest.fixture
def figures(pytestconfig: pytest.Config) -> list[str]:
    """Lines for the end of the report."""
    return pytestconfig.stash[FIGURES]


@pytest.fixture
def strike(bodies: list[bytes], pytestconfig: pytest.Config) -> Strike:
    return Strike(bodies, pytestconfig.stash[TALLIES])
