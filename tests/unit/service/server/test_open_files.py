"""The limit of open files bounds the connections, and a short one is logged."""

import resource

import pytest
from structlog.testing import capture_logs

from service.server.open_files import OTHER_FILES, allow_open_files, within_open_files
from service.server.server import uvicorn_options
from service.settings import Settings


@pytest.fixture
def most_files(monkeypatch: pytest.MonkeyPatch) -> int:
    """A machine that allows no more than 400 open files."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 400))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    return 400


def test_few_open_files_are_logged_and_limit_the_connections(most_files: int) -> None:
    with capture_logs() as logs:
        settings = within_open_files(Settings(max_connections=1024), 2)
    (line,) = logs
    assert (line["open_files"], line["needed"]) == (most_files, 2 * 512 + OTHER_FILES)
    assert settings.max_connections == 2 * line["max_connections"] == 200 // 2 * 2
    assert "FCNSERVE_MAX_CONNECTIONS" in line["event"]


def test_enough_open_files_are_not_logged(most_files: int) -> None:
    with capture_logs() as logs:
        assert allow_open_files((most_files - OTHER_FILES) // 2) == (most_files - OTHER_FILES) // 2
    assert logs == []


def test_a_grace_of_less_than_a_second_is_kept() -> None:
    assert uvicorn_options(Settings(shutdown_grace_s=0.5))["timeout_graceful_shutdown"] == 0.5
