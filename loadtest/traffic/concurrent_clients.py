"""Many clients at once, in a process of their own: photos in, answers and times out.

Each client sends its next photo as soon as it has its answer (a closed loop), over a connection
that is kept. Called by `loadtest.measure.service`; a request is made by the same code for
TorchServe and for the gateway.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import aiohttp
import uvloop

PNG = "image/png"
TIMEOUT = aiohttp.ClientTimeout(total=120)


Read = Callable[[Mapping[str, str], bytes], bytes | None]  # headers, body


def read_png(headers: Mapping[str, str], body: bytes) -> bytes | None:
    """Take an answer's body for a mask, or for none."""
    return body if headers.get("Content-Type") == PNG else None


@dataclass(frozen=True, slots=True)
class Target:
    """Where photos are sent, which of its headers tells where the time went, and how a mask is read
    from its answers.
    """

    url: str
    headers: Mapping[str, str]
    report_header: str
    read: Read = read_png


@dataclass(slots=True)
class Burst:
    """What the clients saw; all but `failed` is of masks."""

    seconds: float = 0.0
    cpu_s: float = 0.0
    latencies_ms: list[tuple[int, float]] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    answers: dict[int, Counter[bytes]] = field(default_factory=dict)
    failed: int = 0


def burst(target: Target, photos: list[bytes], clients: int, seconds: float) -> Burst:
    """Send whole rounds of `photos` until `seconds` are over."""
    cpu_before = time.process_time()
    seen = uvloop.run(send_all(target, photos, clients, seconds))
    seen.cpu_s = time.process_time() - cpu_before
    return seen


async def send_all(target: Target, photos: list[bytes], clients: int, seconds: float) -> Burst:
    seen = Burst()
    turns = whole_rounds(len(photos), seconds)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=clients), timeout=TIMEOUT, headers=target.headers
    ) as session:
        started = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(clients):
                tasks.create_task(client(session, target, photos, turns, seen))
        seen.seconds = time.perf_counter() - started
    return seen


def whole_rounds(photos: int, seconds: float) -> Iterator[int]:
    """Number the photos round after round; the last round ends after `seconds`."""
    ends = time.perf_counter() + seconds
    while True:
        yield from range(photos)
        if time.perf_counter() >= ends:
            return


async def client(
    session: aiohttp.ClientSession,
    target: Target,
    photos: list[bytes],
    turns: Iterator[int],
    seen: Burst,
) -> None:
    for place in turns:
        started = time.perf_counter()
        async with session.post(target.url, data=photos[place]) as response:
            body = await response.read()
        ms = (time.perf_counter() - started) * 1000
        mask = target.read(response.headers, body) if response.status == HTTPStatus.OK else None
        if mask:
            seen.latencies_ms.append((place, ms))
            seen.answers.setdefault(place, Counter())[mask] += 1
            seen.reports.append(response.headers.get(target.report_header, ""))
        else:
            seen.failed += 1
