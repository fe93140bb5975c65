"""`fcnserve serve`, told to stop while clients keep sending: every answer is whole."""

import signal
from collections.abc import Callable
from typing import Any

from tests.integration.concurrent_clients import Crowd
from tests.integration.server import Server


def test_every_request_is_answered_whole_while_the_service_stops(
    start: Callable[..., Any], cat_mask: bytes
) -> None:
    server: Server = start(Server)
    crowd = Crowd(server, cat_mask)
    crowd.start()
    server.process.send_signal(signal.SIGTERM)
    crowd.assert_nothing_lost()
    assert server.wait() == 0
    assert not server.processes()
    assert "Traceback" not in server.output()
