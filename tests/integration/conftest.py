"""One service for all integration tests, and the logs of the servers of a failed test."""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.integration.quick import put_quick_model
from tests.support.server import CAT, Command, Server

HERE = Path(__file__).parent
LOG_LINES = 40


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the last lines of each server's log to a failure."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for name, value in item.funcargs.items():
            if isinstance(value, Command):
                tail = "\n".join(value.output().splitlines()[-LOG_LINES:])
                report.sections.append((f"log of {name} ({value.log})", tail))
    return report


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real service: gateway, TorchServe and two workers; stopped as by `docker stop`."""
    log = tmp_path_factory.mktemp("server") / "serve.log"
    started = Server(log, {"FCNSERVE_WORKERS": "2", "FCNSERVE_THREADS": "1"})
    try:
        yield started
        started.process.terminate()
        assert started.wait() == 0, started.output()
        assert not started.processes()
    finally:
        started.end()


@pytest.fixture(scope="session")
def quick_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model store whose model has a short warm-up, and the default model's masks."""
    store = tmp_path_factory.mktemp("store")
    put_quick_model(store)
    return store


@pytest.fixture
def start(tmp_path: Path, quick_store: Path) -> Iterator[Callable[..., Command]]:
    """Start further commands, with one worker of short warm-up each; ended with the test."""
    commands: list[Command] = []
    defaults = {
        "FCNSERVE_WORKERS": "1",
        "FCNSERVE_THREADS": "1",
        "FCNSERVE_MODEL_STORE": str(quick_store),
    }

    def start(kind: type[Command], *arguments: str, **environment: str) -> Command:
        log = tmp_path / f"{len(commands)}.log"
        commands.append(kind(log, *arguments, environment=defaults | environment))
        return commands[-1]

    yield start
    for command in commands:
        command.end()


@pytest.fixture(scope="session")
def cat() -> bytes:
    return CAT.read_bytes()


@pytest.fixture(scope="session")
def cat_mask(server: Server, cat: bytes) -> bytes:
    """The cat's mask as a single photo, which every batch has to reproduce."""
    return server.segment(cat)
