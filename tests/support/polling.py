"""Waiting in tests without an event loop; `tests.support.fakes.until` is its counterpart in one."""

import time
from collections.abc import Callable

POLL_S = 0.02


def wait_until(
    condition: Callable[[], bool], seconds: float = 10.0, describe: Callable[[], str] = lambda: ""
) -> None:
    """Poll until the condition is true; fails after `seconds` with the text of `describe`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, describe()
        time.sleep(POLL_S)
