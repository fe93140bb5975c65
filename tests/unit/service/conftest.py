"""The clocks of all tests of the service."""

from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping

import pytest

from tests.support.clock import Clock, SteadyLoop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], AbstractEventLoop]]:
    """Have asynchronous tests run in a loop whose time limits do not expire by a stall."""

    return {"steady": SteadyLoop}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace the clock that readiness windows are measured by; the watch polls in real time."""
    clock = Clock()
    monkeypatch.setattr("service.backend.health.time", clock)
    return clock
