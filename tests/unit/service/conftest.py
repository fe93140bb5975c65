"""The clock of readiness, for the tests of several rooms."""

import pytest

from tests.support.clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace the clock that readiness windows are measured by; the watch polls in real time."""
    clock = Clock()
    monkeypatch.setattr("service.backend.health.time", clock)
    return clock
