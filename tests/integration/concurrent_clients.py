"""Concurrent clients that keep sending while a service stops.

Used by the tests of stopping and of several gateway processes.
"""

import threading
from collections import Counter

import httpx

from tests.support.polling import wait_until
from tests.support.server import CAT, Server

CLIENTS = 6
TIMEOUT_S = 60.0


class ConcurrentClients:
    """Clients in threads that send the cat until the server refuses connections."""

    def __init__(self, server: Server, mask: bytes) -> None:
        self.server = server
        self.mask = mask
        self.outcomes: Counter[str] = Counter()
        self.threads = [threading.Thread(target=self._send) for _ in range(CLIENTS)]

    def start(self) -> None:
        """Return once each client has had several answers; the clients go on."""
        for thread in self.threads:
            thread.start()
        enough = 3 * CLIENTS
        wait_until(lambda: self.outcomes.total() > enough, TIMEOUT_S, lambda: str(self.outcomes))

    def assert_nothing_lost(self) -> None:
        """Wait until connections are refused, and check the outcome of each request."""
        for thread in self.threads:
            thread.join(TIMEOUT_S)
            assert not thread.is_alive()
        assert set(self.outcomes) == {"mask"}

    def _send(self) -> None:
        with httpx.Client(base_url=self.server.url, timeout=60, trust_env=False) as client:
            while (outcome := self._outcome(client)) != "refused":
                self.outcomes[outcome] += 1

    def _outcome(self, client: httpx.Client) -> str:
        try:
            answer = client.post("/v1/segment", content=CAT.read_bytes())
        except httpx.ConnectError:
            return "refused"
        except httpx.TransportError as error:
            return repr(error)
        if answer.status_code == httpx.codes.OK:
            return "mask" if answer.content == self.mask else "another mask"
        return answer.text
