"""One stack for the test run, on a real Docker engine: without one, the tests fail."""

import os
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.stack.compose import CommandError, Stack, docker
from tests.support.server import CAT

HERE = Path(__file__).parent
SERVICES = ("gateway", "worker", "prometheus")
STAND_INS: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.stack)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the last lines of the containers' logs to a failure."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        stack = item.funcargs.get("stack")
        if isinstance(stack, Stack):
            with suppress(CommandError):  # it would hide the failure
                report.sections.append(("logs of the stack", stack.logs()))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if STAND_INS:
        terminalreporter.write_line(f"ran as stand-ins: {', '.join(STAND_INS)}")


@pytest.fixture(scope="session")
def engine() -> str:
    """The version of the Docker engine at DOCKER_HOST, or at its default."""
    try:
        return docker("version", "--format", "{{.Server.Version}}").strip()
    except (CommandError, FileNotFoundError) as error:
        pytest.fail(f"the stack's tests need a running Docker engine with Compose: {error}")


@pytest.fixture(scope="session")
def stack(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Gateway, worker and Prometheus, built from this checkout; removed at the end."""
    started = Stack(tmp_path_factory.mktemp("stack"), f"fcnserve-test-{os.getpid()}")
    STAND_INS.extend(started.stand_ins)
    try:
        start_stack(started)
        yield started
    finally:
        started.down()


def start_stack(stack: Stack) -> None:
    try:
        stack.compose("up", "-d", "--build", "--wait", *SERVICES)
    except CommandError as error:
        pytest.fail(f"{error}\n{stack.logs()}")
    stack.wait_until_ready()


@pytest.fixture(scope="session")
def cat() -> bytes:
    return CAT.read_bytes()
