"""Concurrent clients that keep sending photos (a closed loop), each answer checked.

They run in a thread of their own, so that a test reads from top to bottom: the fault, then the
counts of all outcomes. Each answer is compared with the photo's reference answer. Used by
`tests.faults.scenario` and by the tests.
"""

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Self

import aiohttp

from tests.faults.counts import Counts
from tests.faults.service import Service
from tests.support.polling import wait_until

CLIENTS = 16
TIMEOUT_MS = 60_000
# a request without an answer well after its own deadline is lost
CLIENT_TIMEOUT = aiohttp.ClientTimeout(total=TIMEOUT_MS / 1000 + 15)
PAUSE_S = 0.2  # of a client that was refused
STEADY_S = 5.0
TIMEOUT_S = 150.0


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo, and the answer that it gets while nothing is broken."""

    body: bytes
    answer: bytes
    query: Mapping[str, str] = field(default_factory=dict)


def photos_with_answers(service: Service, bodies: Sequence[bytes], **query: str) -> list[Photo]:
    """Fetch the reference answer of each photo."""
    answers = [service.segment(body, **query).raise_for_status().content for body in bodies]
    return [Photo(body, answer, query) for body, answer in zip(bodies, answers, strict=True)]


class ConcurrentClients:
    """Clients that send until the block is left, and then wait for their last answers."""

    def __init__(
        self, url: str, photos: Sequence[Photo], counts: Counts, clients: int = CLIENTS
    ) -> None:
        self.counts = counts
        self._url = f"{url}/v1/segment"
        self._clients = clients
        self._photos = cycle(photos)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="clients")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def wait_for_correct_answers(self, count: int) -> None:
        """Wait until `count` more correct answers have arrived."""
        enough = self.counts.correct + count
        wait_until(lambda: self.counts.correct >= enough, TIMEOUT_S, self._so_far)

    def wait_until_steady(self) -> None:
        """Wait until the service has answered every request for a while from now on."""
        begun = time.monotonic()
        wait_until(lambda: self.counts.is_steady(begun, STEADY_S), TIMEOUT_S, self._so_far)

    def _so_far(self) -> str:
        return f"{self.counts.cells()} {self.counts.losses[:3]}"

    async def _run(self) -> None:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), timeout=CLIENT_TIMEOUT
            ) as session,
            asyncio.TaskGroup() as tasks,
        ):
            for _ in range(self._clients):
                tasks.create_task(self._run_client(session))

    async def _run_client(self, session: aiohttp.ClientSession) -> None:
        while not self._stopping.is_set():
            if not await self._send(session, next(self._photos)):
                await asyncio.sleep(PAUSE_S)

    async def _send(self, session: aiohttp.ClientSession, photo: Photo) -> bool:
        """Send one request and count its outcome; returns whether the answer is correct."""
        started = time.monotonic()
        self.counts.sent += 1
        try:
            async with session.post(
                self._url,
                data=photo.body,
                params={"timeout_ms": str(TIMEOUT_MS), **photo.query},
                headers={"Content-Type": "image/jpeg"},
            ) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            self.counts.add_loss(error)
            return False
        took_s = time.monotonic() - started
        return self.counts.add_answer(
            photo.answer, response.status, response.content_type, body, took_s
        )
