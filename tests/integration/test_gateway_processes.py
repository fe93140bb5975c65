"""`fcnserve serve` with a gateway of two processes, which serve and stop as one."""

import signal
from collections.abc import Callable
from typing import Any

import httpx

from tests.integration.concurrent_clients import ConcurrentClients
from tests.support.server import CAT, Server


def test_two_gateway_processes_serve_the_same_mask_and_stop_together(
    start: Callable[..., Any], cat_mask: bytes
) -> None:
    cat = CAT.read_bytes()
    server: Server = start(Server, FCNSERVE_GATEWAY_PROCESSES="2", FCNSERVE_DRAIN_DELAY_S="1")
    assert len(server.pids_of("spawn_main")) == 2
    for _ in range(8):  # each over its own connection, so that either process may accept it
        answer = httpx.post(f"{server.url}/v1/segment", content=cat, timeout=60, trust_env=False)
        assert (answer.status_code, answer.content) == (200, cat_mask)
    assert server.metric("fcnserve_image_pixels_count") == 8
    assert server.metric("fcnserve_in_flight_limit") == 64
    clients = ConcurrentClients(server, cat_mask)
    clients.start()
    server.process.send_signal(signal.SIGTERM)
    clients.assert_nothing_lost()
    assert server.wait() == 0
    assert not server.processes()
    assert "Traceback" not in server.output()
