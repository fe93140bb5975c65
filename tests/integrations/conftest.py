"""One real service for all tests with other projects' clients, and an environment for each client.

`make test-integrations` runs them; they need the package index once.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.quick import put_quick_model
from tests.integrations.environments import Environment, Run, environment_of, run
from tests.support.server import Server

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.integrations)


@pytest.fixture(scope="session")
def environment() -> Environment:
    """`environment("numpy==2.4.6", ...)` returns the Python of an environment with these."""
    return environment_of


@pytest.fixture
def run_in(tmp_path: Path) -> Run:
    """`run_in(python, program, *arguments)` runs a program in a new folder; returns its output."""

    def run_there(python: Path, program: str, *arguments: str) -> str:
        return run(python, tmp_path, program, *arguments)

    return run_there


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
    try:
        yield started
    finally:
        started.end()
