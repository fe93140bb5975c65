"""`fcnserve serve` is stopped while clients keep sending: every answer is complete."""

import signal
from collections.abc import Callable
from typing import Any

from tests.integration.concurrent_clients import ConcurrentClients
from tests.support.server import Server


def test_every_request_gets_a_complete_answer_while_the_service_stops(
    start: Callable[..., Any], cat_mask: bytes
) -> None:
    server: Server = start(Server)
    clients = ConcurrentClients(server, cat_mask)
    clients.start()
    server.process.send_signal(signal.SIGTERM)
    clients.assert_nothing_lost()
    assert server.wait() == 0
    assert not server.processes()
    assert "Traceback" not in server.output()
