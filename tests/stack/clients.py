"""Clients that send photos from outside while containers change. Used by the tests of changes."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx


class ConcurrentClients:
    """Clients that send one photo after another until they are stopped."""

    def __init__(self, send: Callable[[], httpx.Response], clients: int = 3) -> None:
        """Take what sends a photo, and how many threads call it without pause."""
        self.answers: list[httpx.Response] = []
        self._send = send
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(clients)
        self._futures = [self._pool.submit(self._send_photos) for _ in range(clients)]

    def _send_photos(self) -> None:
        while not self._stopping.is_set():
            self.answers.append(self._send())

    def models(self) -> list[str]:
        return [answer.headers.get("X-Model", "") for answer in self.answers]

    def failed(self) -> list[str]:
        """Return the answers that are no mask."""
        return [answer.text for answer in self.answers if answer.status_code != httpx.codes.OK]

    def stop(self) -> None:
        """Wait for the last answers; raises the exceptions of the clients."""
        self._stopping.set()
        for future in self._futures:
            future.result()
        self._pool.shutdown()
