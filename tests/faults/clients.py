"""Clients who keep sending photos, each its next one as soon as the last is answered.

They run in a thread of their own, so that a test reads from top to bottom: what breaks, and what
became of everybody. Each answer is held against the one that the photo got alone.
"""

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from types import TracebackType
from typing import Self

import aiohttp

from tests.faults.counts import Tally
from tests.faults.service import House
from tests.integration.server import wait_until

CLIENTS = 16
TIMEOUT_MS = 60_000
# whoever has no answer well after the deadline that it named has lost its request
CLIENT_TIMEOUT = aiohttp.ClientTimeout(total=TIMEOUT_MS / 1000 + 15)
PAUSE_S = 0.2  # of a client that was refused
STEADY_S = 5.0
PATIENCE_S = 150.0


@dataclass(frozen=True, slots=True)
class Photo:
    """What a client sends, and what it gets when the house is quiet."""

    body: bytes
    answer: bytes
    query: Mapping[str, str] = field(default_factory=dict)


def photos_with_answers(house: House, bodies: Sequence[bytes], **query: str) -> list[Photo]:
    """Have each photo answered alone."""
    answers = [house.segment(body, **query).raise_for_status().content for body in bodies]
    return [Photo(body, answer, query) for body, answer in zip(bodies, answers, strict=True)]


class Load:
    """Clients at work; on leaving, each has been answered or has given up."""

    def __init__(
        self, url: str, photos: Sequence[Photo], tally: Tally, clients: int = CLIENTS
    ) -> None:
        self.tally = tally
        self._url = f"{url}/v1/segment"
        self._clients = clients
        self._turns = cycle(photos)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="clients")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def wait_for_right_answers(self, count: int) -> None:
        """Let so many more come in."""
        enough = self.tally.right + count
        wait_until(lambda: self.tally.right >= enough, PATIENCE_S, self._so_far)

    def wait_until_steady(self) -> None:
        """Let the service answer everybody for a while from now on."""
        begun = time.monotonic()
        wait_until(lambda: self.tally.is_steady(begun, STEADY_S), PATIENCE_S, self._so_far)

    def _so_far(self) -> str:
        return f"{self.tally.cells()} {self.tally.losses[:3]}"

    async def _run(self) -> None:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), timeout=CLIENT_TIMEOUT
            ) as session,
            asyncio.TaskGroup() as tasks,
        ):
            for _ in range(self._clients):
                tasks.create_task(self._keep_sending(session))

    async def _keep_sending(self, session: aiohttp.ClientSession) -> None:
        while not self._stopping.is_set():
            if not await self._send(session, next(self._turns)):
                await asyncio.sleep(PAUSE_S)

    async def _send(self, session: aiohttp.ClientSession, photo: Photo) -> bool:
        """Ask once and count what came of it; tell whether it was the right answer."""
        started = time.monotonic()
        self.tally.sent += 1
        try:
            async with session.post(
                self._url,
                data=photo.body,
                params={"timeout_ms": str(TIMEOUT_MS), **photo.query},
                headers={"Content-Type": "image/jpeg"},
            ) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            self.tally.lose(error)
            return False
        took_s = time.monotonic() - started
        return self.tally.answered(
            photo.answer, response.status, response.content_type, body, took_s
        )
